//! The vectors that Rust, Python and TypeScript check alike: made here, from the method's own answers.

use super::{
    document::{self, check},
    tests::{CONTRACT, POOR, RICH, address, call, funded, handler, put, small_chain},
};
use crate::handler::Handler;
use alloy_rlp::Decodable;
use candela_primitives::{Address, B256, Bytes, Header, StateChanges, U256, keccak256};
use serde_json::{Value, json};

/// Tests run in the directory of their package.
const VECTORS: &str = "../../vectors/state_proofs.json";
const WRITE: &str = "CANDELA_WRITE_VECTORS";

fn ends_in_a_leaf(document: &Value, proof: &str) -> bool {
    !document.pointer(proof).unwrap()["leaf"].is_null()
}

/// One question with the answer, and what comes of it: what is shown, or the part that does not hold.
struct Case {
    name: String,
    block_hash: Value,
    address: Address,
    slots: Vec<U256>,
    document: Value,
    refused: Option<&'static str>,
}

impl Case {
    fn asked(handler: &Handler, name: &str, address: Address, slots: &[U256], block: &str) -> Self {
        let texts: Vec<_> = slots.iter().map(|slot| B256::from(*slot)).collect();
        let document = call(handler, json!([address, texts, block])).unwrap();
        let (name, slots) = (name.to_owned(), slots.to_vec());
        Self { name, block_hash: document["blockHash"].clone(), address, slots, document, refused: None }
    }

    fn tampered(&self, name: &str, refused: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let (name, refused) = (name.to_owned(), Some(refused));
        let (block_hash, document) = (self.block_hash.clone(), self.document.clone());
        let mut case = Self { name, block_hash, address: self.address, slots: self.slots.clone(), document, refused };
        change(&mut case);
        case
    }

    fn render(&self) -> Value {
        let mut case = json!({
            "name": self.name,
            "blockHash": self.block_hash,
            "address": self.address,
            "slots": self.slots.iter().map(|slot| B256::from(*slot)).collect::<Vec<_>>(),
            "document": self.document,
        });
        match self.refused {
            Some(part) => case["refused"] = json!(part),
            None => {
                let values: Vec<_> = self.document["storageProof"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|slot| slot["value"].clone())
                    .collect();
                case["shown"] = json!({ "account": self.document["account"], "values": values });
            }
        }
        case
    }
}

fn flip(document: &mut Value, pointer: &str, byte: usize) {
    let value = document.pointer_mut(pointer).unwrap();
    let mut bytes = alloy_primitives::hex::decode(value.as_str().unwrap()).unwrap();
    bytes[byte] ^= 1;
    *value = json!(Bytes::from(bytes));
}

fn siblings<'a>(case: &'a mut Case, proof: &str) -> &'a mut Vec<Value> {
    case.document.pointer_mut(proof).unwrap()["siblings"].as_array_mut().unwrap()
}

fn honest_cases() -> Vec<Case> {
    let chain = handler(small_chain());
    let none: &[U256] = &[];
    let absent = |leaf: bool| {
        let ends =
            |at: &Address| ends_in_a_leaf(&Case::asked(&chain, "", *at, none, "latest").document, "/accountProof");
        (1_000..).map(address).find(|at| ends(at) == leaf).unwrap()
    };
    let unset = |leaf: bool| {
        let proof = |slot: U256| Case::asked(&chain, "", CONTRACT, &[slot], "latest").document;
        let ends = |slot: &U256| ends_in_a_leaf(&proof(*slot), "/storageProof/0/proof");
        (1_000u64..).map(U256::from).find(|slot| ends(slot) == leaf).unwrap()
    };
    let slots = [U256::ZERO, U256::from(7), unset(false), unset(true), U256::ONE, U256::ZERO];
    let mut alone = StateChanges::default();
    put(&mut alone, address(3), funded(9), &[]);
    let (alone, nothing) = (handler(vec![alone]), handler(vec![StateChanges::default()]));
    vec![
        Case::asked(&chain, "an account", address(0), none, "latest"),
        Case::asked(
            &chain,
            "slots: set, set, empty subtree, other leaf, cleared, asked twice",
            CONTRACT,
            &slots,
            "latest",
        ),
        Case::asked(&chain, "an earlier block", CONTRACT, &slots[..2], "earliest"),
        Case::asked(&chain, "no account: empty subtree", absent(false), none, "latest"),
        Case::asked(&chain, "no account: other leaf", absent(true), none, "latest"),
        Case::asked(&chain, "slots of no account", absent(true), &[U256::ZERO, U256::MAX], "latest"),
        Case::asked(&chain, "the largest numbers", RICH, &[U256::MAX], "latest"),
        Case::asked(&chain, "an empty account that exists", POOR, none, "latest"),
        Case::asked(&alone, "a tree of one leaf", address(3), none, "latest"),
        Case::asked(&alone, "absence in a tree of one leaf", address(4), &[U256::ZERO], "latest"),
        Case::asked(&nothing, "an empty tree", address(3), &[U256::ZERO], "latest"),
    ]
}

const ACCOUNT: &str = "/accountProof";
const SLOT: &str = "/storageProof/0/proof";

fn tampered_proofs(account: &Case, slots: &Case, by_empty: &Case, by_leaf: &Case) -> Vec<Case> {
    let set = |pointer: &'static str, value: Value| {
        move |case: &mut Case| *case.document.pointer_mut(pointer).unwrap() = value
    };
    vec![
        account.tampered("another balance", "account", set("/account/balance", json!("0x6"))),
        account.tampered("another nonce", "account", set("/account/nonce", json!("0x2"))),
        account.tampered("another code hash", "account", |case| flip(&mut case.document, "/account/codeHash", 31)),
        account.tampered("an account denied", "account", set("/account", Value::Null)),
        account.tampered("an account denied with its leaf", "account", |case| {
            case.document["account"] = Value::Null;
            case.document["accountProof"]["leaf"] = Value::Null;
        }),
        account
            .tampered("a flipped sibling", "account", |case| flip(&mut case.document, "/accountProof/siblings/1", 9)),
        account.tampered("a missing sibling", "account", |case| drop(siblings(case, ACCOUNT).pop())),
        account.tampered("the first sibling missing", "account", |case| drop(siblings(case, ACCOUNT).remove(0))),
        account.tampered("a sibling too many", "account", |case| siblings(case, ACCOUNT).push(json!(B256::ZERO))),
        account.tampered("siblings in another order", "account", |case| siblings(case, ACCOUNT).reverse()),
        account.tampered("a flipped path of the leaf", "account", |case| {
            flip(&mut case.document, "/accountProof/leaf/path", 31);
        }),
        account.tampered("a flipped value hash", "account", |case| {
            flip(&mut case.document, "/accountProof/leaf/valueHash", 0);
        }),
        account.tampered("256 siblings", "account", |case| siblings(case, ACCOUNT).resize(256, json!(B256::ZERO))),
        slots.tampered("another value", "slot", set("/storageProof/0/value", json!(B256::with_last_byte(98)))),
        slots.tampered("a value denied", "slot", set("/storageProof/0/value", json!(B256::ZERO))),
        slots.tampered("a value denied with its leaf", "slot", |case| {
            case.document["storageProof"][0]["value"] = json!(B256::ZERO);
            case.document["storageProof"][0]["proof"]["leaf"] = Value::Null;
        }),
        slots.tampered(
            "a value invented in an empty subtree",
            "slot",
            set("/storageProof/2/value", json!(B256::with_last_byte(1))),
        ),
        slots.tampered(
            "a value invented at another's leaf",
            "slot",
            set("/storageProof/3/value", json!(B256::with_last_byte(1))),
        ),
        slots.tampered("the proof of another slot", "slot", |case| {
            case.document["storageProof"][0]["proof"] = case.document["storageProof"][1]["proof"].clone();
        }),
        slots.tampered("a flipped sibling of a slot", "slot", |case| {
            flip(&mut case.document, "/storageProof/0/proof/siblings/0", 0)
        }),
        slots.tampered("a missing sibling of a slot", "slot", |case| drop(siblings(case, SLOT).pop())),
        slots.tampered("the account's proof for a slot", "slot", |case| {
            case.document["storageProof"][0]["proof"] = case.document["accountProof"].clone();
        }),
        by_empty.tampered("an account invented in an empty subtree", "account", |case| {
            case.document["account"] = json!({ "nonce": "0x0", "balance": "0x1", "codeHash": B256::ZERO });
        }),
        by_leaf.tampered("an account invented at another's leaf", "account", |case| {
            case.document["account"] = json!({ "nonce": "0x0", "balance": "0x1", "codeHash": B256::ZERO });
        }),
        by_leaf
            .tampered("another's leaf left out", "account", |case| case.document["accountProof"]["leaf"] = Value::Null),
        by_leaf.tampered("absence shown by the leaf of a distant key", "account", |case| {
            case.document["accountProof"]["leaf"] = account.document["accountProof"]["leaf"].clone();
        }),
    ]
}

fn tampered_frames(account: &Case, slots: &Case, earlier: &Case) -> Vec<Case> {
    let set = |pointer: &'static str, value: Value| {
        move |case: &mut Case| *case.document.pointer_mut(pointer).unwrap() = value
    };
    let header = |number: u64, version: u8, shards: usize| {
        let root = earlier.document["headerBytes"].as_str().unwrap();
        let mut header = Header::decode(&mut alloy_primitives::hex::decode(root).unwrap().as_slice()).unwrap();
        header.shards = vec![header.shards[0].clone(); shards];
        header = Header { number, version, ..header };
        move |case: &mut Case| {
            case.block_hash = json!(header.hash());
            case.document["blockHash"] = json!(header.hash());
            case.document["headerBytes"] = json!(Bytes::from(alloy_rlp::encode(&header)));
        }
    };
    vec![
        account.tampered("a flipped byte of the header", "header", |case| flip(&mut case.document, "/headerBytes", 70)),
        account.tampered("a byte after the header", "header", |case| {
            let longer = format!("{}00", case.document["headerBytes"].as_str().unwrap());
            case.document["headerBytes"] = json!(longer);
        }),
        account.tampered("an empty header", "header", set("/headerBytes", json!("0x"))),
        account.tampered("another header", "header", |case| {
            case.document["headerBytes"] = earlier.document["headerBytes"].clone();
        }),
        account.tampered("another block than the trusted one", "header", |case| {
            case.block_hash = earlier.block_hash.clone();
        }),
        account.tampered("a block hash that is not the header's", "header", |case| {
            case.document["blockHash"] = earlier.block_hash.clone();
        }),
        account.tampered("another block number", "header", set("/blockNumber", json!("0x7"))),
        earlier.tampered("a header of an unknown version", "header", header(0, 2, 1)),
        earlier.tampered("a header of two shards", "header", header(0, 1, 2)),
        earlier.tampered("a header without shards", "header", header(0, 1, 0)),
        earlier.tampered("a header whose hash is trusted and that is not RLP", "header", |case| {
            case.block_hash = json!(keccak256([0xf8, 0xff]));
            case.document["blockHash"] = case.block_hash.clone();
            case.document["headerBytes"] = json!("0xf8ff");
        }),
        account.tampered("another address", "document", |case| case.document["address"] = json!(format!("{POOR:#x}"))),
        account.tampered("an answer about another address", "document", |case| case.address = POOR),
        slots.tampered("an answer about another slot", "document", |case| case.slots[0] = U256::from(5)),
        slots.tampered("slots in another order", "document", |case| {
            case.document["storageProof"].as_array_mut().unwrap().swap(0, 1)
        }),
        slots.tampered("a slot left out", "document", |case| {
            drop(case.document["storageProof"].as_array_mut().unwrap().pop())
        }),
        account.tampered("a slot that nobody asked for", "document", |case| {
            case.document["storageProof"] = json!([slots.document["storageProof"][0]]);
        }),
        account.tampered("257 siblings", "document", |case| siblings(case, ACCOUNT).resize(257, json!(B256::ZERO))),
        account.tampered("a short sibling", "document", set("/accountProof/siblings/0", json!("0x00"))),
        account.tampered("siblings as text", "document", set("/accountProof/siblings", json!("0x"))),
        account.tampered("siblings of numbers", "document", set("/accountProof/siblings", json!([1, 2]))),
        account.tampered("a leaf as a list", "document", set("/accountProof/leaf", json!([]))),
        account.tampered("a nonce of 65 bits", "document", set("/account/nonce", json!("0x10000000000000000"))),
        account.tampered("a balance of 257 bits", "document", |case| {
            case.document["account"]["balance"] = json!(format!("0x1{}", "0".repeat(64)));
        }),
        account.tampered("a balance with a leading zero", "document", set("/account/balance", json!("0x05"))),
        account.tampered("a balance as a number", "document", set("/account/balance", json!(5))),
        account.tampered("a negative balance", "document", set("/account/balance", json!("-0x5"))),
        account.tampered("a line feed after the balance", "document", set("/account/balance", json!("0x5\n"))),
        account.tampered("capital digits", "document", |case| {
            let capital = case.document["account"]["codeHash"].as_str().unwrap().to_uppercase().replacen('X', "x", 1);
            case.document["account"]["codeHash"] = json!(capital);
        }),
        account.tampered("a header of odd digits", "document", set("/headerBytes", json!("0xf80"))),
        account.tampered("no account member", "document", |case| {
            case.document.as_object_mut().unwrap().remove("account");
        }),
        account.tampered("no document", "document", |case| case.document = Value::Null),
    ]
}

fn cases() -> Vec<Case> {
    let mut honest = honest_cases();
    let mut tampered = tampered_proofs(&honest[0], &honest[1], &honest[3], &honest[4]);
    tampered.extend(tampered_frames(&honest[0], &honest[1], &honest[2]));
    honest.append(&mut tampered);
    honest
}

fn committed() -> Vec<Value> {
    let vectors: Value = serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap();
    vectors["cases"].as_array().unwrap().clone()
}

#[test]
fn the_vectors_are_the_committed_ones() {
    let cases: Vec<_> = cases().iter().map(Case::render).collect();
    if std::env::var_os(WRITE).is_some() {
        let lines: Vec<_> = cases.iter().map(Value::to_string).collect();
        std::fs::write(VECTORS, format!("{{\"cases\":[\n{}\n]}}\n", lines.join(",\n"))).unwrap();
    }
    assert!(committed() == cases, "proofs have changed; if they are meant to, run this test with {WRITE}=1");
}

#[test]
fn each_vector_shows_what_it_says_or_is_refused_where_it_says() {
    for case in committed() {
        let outcome = check(&case);
        match case.get("refused") {
            Some(part) => assert_eq!(outcome.err(), part.as_str(), "{}", case["name"]),
            None => {
                let (account, values) = outcome.unwrap();
                let shown = &case["shown"];
                assert_eq!(account, document::account(shown).unwrap(), "{}", case["name"]);
                let values: Vec<_> = values.into_iter().map(B256::from).collect();
                assert_eq!(json!(values), shown["values"], "{}", case["name"]);
            }
        }
    }
}
