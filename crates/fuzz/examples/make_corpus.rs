//! Write the corpus: `cargo run -p candela-fuzz --example make_corpus`, from the repository's folder.

#![allow(clippy::unwrap_used, missing_docs)]

use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy, TypedTransaction};
use alloy_primitives::{Log, LogData, TxKind, U256, hex};
use alloy_rlp::Encodable;
use candela_archive::ArchivedHeader;
use candela_fuzz::TARGETS;
use candela_primitives::{
    Address, B256, Block, Bytes, CandelaTransaction, Header, Participation, Receipt, ShardHeader, Transaction,
    keccak256, merkle,
};
use candela_signing::{SecretKey, SessionKey, sign_session, sign_transaction};
use serde_json::{Value, json};
use std::fs;

fn write(target: &str, name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|each| each.name == target).unwrap();
    let folder = candela_fuzz::folder("corpus", target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn vectors(name: &str) -> Value {
    serde_json::from_slice(&fs::read(format!("vectors/{name}.json")).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn transactions() -> Vec<(&'static str, Transaction)> {
    let (key, to, data) =
        (SecretKey::from_bytes(&[3; 32]).unwrap(), TxKind::Call(Address::repeat_byte(9)), vec![7; 40]);
    let value = U256::from(10u64.pow(18));
    let gas = TxEip1559 { chain_id: 1, nonce: 300, gas_limit: 21_000, max_fee_per_gas: 1 << 40, ..Default::default() };
    let fields: [(_, TypedTransaction); 5] = [
        (
            "legacy",
            TxLegacy { chain_id: Some(1), gas_price: 1 << 40, gas_limit: 60_000, to, value, ..Default::default() }
                .into(),
        ),
        (
            "access-list",
            TxEip2930 { chain_id: 1, gas_limit: 60_000, to, input: data.clone().into(), ..Default::default() }.into(),
        ),
        ("fees", TxEip1559 { to, value, ..gas.clone() }.into()),
        ("creation", TxEip1559 { to: TxKind::Create, input: data.clone().into(), ..gas }.into()),
        (
            "authorization",
            TxEip7702 { chain_id: 1, gas_limit: 90_000, to: Address::repeat_byte(1), ..Default::default() }.into(),
        ),
    ];
    let mut signed: Vec<_> =
        fields.into_iter().map(|(name, fields)| (name, sign_transaction(fields, &key).unwrap())).collect();
    let session = CandelaTransaction {
        chain_id: 1,
        gas_limit: 50_000,
        to,
        data: data.into(),
        sender: key.address(),
        ..CandelaTransaction::default()
    };
    signed.push(("session", sign_session(session, &SessionKey::from_seed([4; 32]))));
    signed
}

fn block(transactions: Vec<Bytes>, proof: &[u8], certificate: &[u8]) -> Block {
    let shown = Participation { distance: 2, signers: 0b1011, certificate: Participation::name_of(certificate) };
    let header = Header {
        version: Header::VERSION,
        number: 70_000,
        timestamp_ms: 1_790_000_000_000,
        prevrandao: keccak256(proof),
        extra_data: if certificate.is_empty() { Bytes::new() } else { shown.encode().into() },
        ..Header::default()
    };
    let mut block = Block { header, transactions, access_list: Bytes::from_static(&[0xc0]) };
    block.header.shards = vec![ShardHeader {
        transactions_root: block.transactions_root(),
        access_list_hash: keccak256(&block.access_list),
        state_root: merkle::leaf(b"state"),
        supply: U256::from(10u128.pow(26)),
        ..ShardHeader::default()
    }];
    block
}

/// A length as commonware writes it: seven bits a byte, the lowest first.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

fn ledger() {
    let transactions = transactions();
    let raw: Vec<Bytes> = transactions.iter().map(|(_, each)| each.encoded().clone()).collect();
    let mut batch = Vec::new();
    for (name, each) in &transactions {
        let target = if *name == "session" { "candela-transaction" } else { "envelope" };
        write(target, name, each.encoded());
        write("transaction", name, each.encoded());
        if *name == "legacy" { batch.extend(each.encoded().iter()) } else { each.encoded().encode(&mut batch) }
    }
    write("binary-batch", "one-of-each", &batch);
    let gossip: Vec<u8> = raw.iter().flat_map(|each| [varint(each.len()), each.to_vec()].concat()).collect();
    write("peer-transactions", "one-of-each", &[varint(raw.len()), gossip].concat());

    let proof = [5; 64];
    let certificate = bytes(&vectors("simplex")["finalizations"][0]["certificate"]);
    for (name, transactions, certificate) in [("empty", Vec::new(), Vec::new()), ("one-of-each", raw, certificate)] {
        let block = block(transactions, &proof, &certificate);
        let encoded = block.encode();
        write("block", name, &encoded);
        let beside = [proof.to_vec(), varint(certificate.len()), certificate].concat();
        write("peer-block", name, &[varint(encoded.len()), encoded.clone(), beside].concat());
        write("header", name, &alloy_rlp::encode(&block.header));
        let archived = ArchivedHeader {
            hash: block.hash(),
            ethereum_header: Default::default(),
            header_bytes: alloy_rlp::encode(&block.header).into(),
            certificate: vec![1; 300].into(),
        };
        write("archived-header", name, &alloy_rlp::encode(archived));
    }
    let log = Log {
        address: Address::repeat_byte(4),
        data: LogData::new_unchecked(vec![B256::repeat_byte(1)], vec![2; 40].into()),
    };
    let receipt = Receipt { tx_type: 2, success: true, gas_used: 21_000, logs: vec![log], ..Receipt::default() };
    write("receipt", "log", &alloy_rlp::encode(&receipt));
    let created = Receipt { contract_address: Some(Address::repeat_byte(8)), ..receipt };
    write("receipt", "creation", &alloy_rlp::encode(created));
    let touched = candela_evm::AccountChanges {
        storage_reads: vec![U256::from(7), U256::MAX],
        ..candela_evm::AccountChanges::new(Address::repeat_byte(6))
    };
    write("block-access-list", "reads", &alloy_rlp::encode(vec![touched]));
}

fn consensus() {
    let simplex = vectors("simplex");
    let list = |name: &str| simplex[name].as_array().unwrap().clone();
    for (place, each) in list("evidence").iter().enumerate().take(9) {
        let (activity, epoch) = (bytes(&each["activity"]), each["epoch"].as_str().unwrap());
        write("double-vote", &place.to_string(), &activity);
        let (kind, name) = match each["kind"].as_str().unwrap() {
            "conflicting notarize" => (0, "notarize"),
            "conflicting finalize" => (2, "finalize"),
            _ => continue,
        };
        let epoch = usize::from_str_radix(epoch.trim_start_matches("0x"), 16).unwrap();
        let vote = &activity[1..=(activity.len() - 1) / 2];
        write("peer-vote", &format!("{name}-{place}"), &[varint(epoch), vec![kind], vote.to_vec()].concat());
    }
    for (place, each) in list("finalizations").iter().enumerate() {
        let certificate = bytes(&each["certificate"]);
        write("finalization", &place.to_string(), &certificate);
        write("peer-certificate", &place.to_string(), &[vec![3, 2], certificate.clone()].concat());
        write("peer-certificate", &format!("notarization-{place}"), &[vec![3, 0], certificate].concat());
    }
    let case = &vectors("state_proofs")["cases"][0]["document"]["accountProof"];
    let siblings: Vec<u8> = case["siblings"].as_array().unwrap().iter().flat_map(bytes).collect();
    let leaf = [bytes(&case["leaf"]["valueHash"]), bytes(&case["leaf"]["path"])].concat();
    write("state-proof", "account", &[vec![9; 20], siblings, leaf].concat());

    let checked = |content: Vec<u8>| [content.clone(), keccak256(&content)[..4].to_vec()].concat();
    let header = checked([b"CANDELA VOTES 1\n".as_slice(), &[1; 32], &[2; 32]].concat());
    let entry = |view: u64, kind| {
        checked([7u64.to_be_bytes().as_slice(), &view.to_be_bytes(), &[kind], &[view.to_be_bytes()[7]; 32]].concat())
    };
    write("vote-record", "votes", &[header, entry(1, 0), entry(1, 2), entry(2, 1)].concat());
}

fn documents() {
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": "0x00", "data": "0x"}, "latest"]});
    write("rpc-request", "one", call.to_string().as_bytes());
    let batch = json!([call, {"jsonrpc": "2.0", "method": "eth_chainId"}, 5, {"id": "x", "method": "a", "params": {}}]);
    write("rpc-request", "batch", batch.to_string().as_bytes());
    let genesis = vectors("genesis")["genesis"].clone();
    write("genesis", "vector", genesis.to_string().as_bytes());
    let configuration = json!({
        "data_dir": "node", "genesis": genesis, "fee_recipient": Address::repeat_byte(1), "threads": 2,
        "rpc": {"host": "127.0.0.1", "port": 8545, "cors_origins": ["*"]}, "listen": "127.0.0.1:9000",
        "validators": [{"public_key": B256::repeat_byte(1), "weight": 2, "address": "[::1]:9001"}],
        "distance": "internet", "block_interval_ms": 100, "logging": {"filter": "info", "format": "json"},
    });
    write("node-configuration", "full", configuration.to_string().as_bytes());
}

fn main() {
    ledger();
    consensus();
    documents();
}
