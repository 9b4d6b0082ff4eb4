//! The contracts that workloads call.

use alloy_primitives::{Address, Bytes, address, hex};
use alloy_sol_types::{SolValue, sol};
use candela_primitives::{Deployment, MARKET, REGISTRY, SESSION_KEYS};
use serde::Deserialize;

sol! {
    /// `benches/contracts/Token.vy`.
    interface Token {
        function mint(address to, uint256 amount);
        function transfer(address to, uint256 amount) returns (bool);
        function approve(address spender, uint256 amount) returns (bool);
    }

    /// `benches/contracts/Pool.vy`.
    interface Pool {
        function sync();
        function swap(bool first_in, uint256 amount_in, uint256 least_out) returns (uint256);
    }

    /// `benches/contracts/Heap.vy`.
    interface Heap {
        function fill(uint256 first, uint256 count);
    }

    /// `contracts/ledger/SessionKeys.vy`.
    interface SessionKeys {
        function authorize(bytes32 key, uint256 expiry, uint256 limit, address[] scope);
    }

    /// `contracts/compute/Registry.vy`.
    interface Registry {
        function register(address operator) payable;
        function add_device(uint8 kind, uint8 sandbox_tier, uint64 memory_bytes, uint64 intensity_ucd, string name);
    }

    /// Conditions of a job.
    struct Terms {
        bytes32 spec_hash;
        uint8 kind;
        uint32 task_count;
        uint256 max_price_per_unit;
        uint64 task_work_limit_uwu;
        uint8 device_kind;
        uint8 min_tier;
        uint64 min_memory_bytes;
        uint8 retries;
        uint32 task_timeout;
        uint32 lease_seconds;
        uint32 audit_window;
        uint64 deadline;
    }

    /// `contracts/compute/Market.vy`.
    interface Market {
        function open_job(Terms terms) payable;
        function take_lease(uint64 job_id, uint32 device_id, uint256 price_per_unit, uint32 count);
        function settle(
            uint256 lease_id,
            uint32 task,
            uint8 outcome,
            bytes32 code_hash,
            bytes32 input_hash,
            bytes32 output_hash,
            uint64 started,
            uint64 work_uwu,
            uint64 energy_mj,
            uint8 energy_method,
            uint256 price
        );
    }
}

/// The token of ERC-20 transfers.
pub(crate) const TOKEN: Address = address!("0x00000000000000000000000000000000000e0001");
/// The storage that W9 fills.
pub(crate) const HEAP: Address = address!("0x00000000000000000000000000000000000e0002");

/// The pool with a number, and its two tokens.
pub(crate) fn pool(number: usize) -> (Address, Address, Address) {
    let at = |kind: u8| {
        let mut bytes = [0xe1; 20];
        bytes[0] = kind;
        bytes[12..].copy_from_slice(&(number as u64).to_be_bytes());
        Address::from(bytes)
    };
    (at(0x20), at(0x60), at(0xa0))
}

#[derive(Deserialize)]
struct Artefact {
    bytecode: String,
}

fn creation_code(artefact: &str) -> Bytes {
    let artefact: Artefact = serde_json::from_str(artefact).unwrap_or(Artefact { bytecode: String::new() });
    hex::decode(artefact.bytecode).unwrap_or_default().into()
}

pub(crate) fn token_code() -> Bytes {
    creation_code(include_str!("../../../benches/contracts/Token.json"))
}

fn deployment(name: &str, address: Address, code: Bytes, arguments: Vec<u8>) -> Deployment {
    Deployment { name: name.to_owned(), address, init_code: [code.to_vec(), arguments].concat().into() }
}

/// The system contracts, the token, the heap, and `pools` pools with tokens of their own.
pub(crate) fn deployments(pools: usize) -> Vec<Deployment> {
    let mut all = vec![
        deployment(
            "Registry",
            REGISTRY,
            creation_code(include_str!("../../../candela/network/contracts/Registry.json")),
            Vec::new(),
        ),
        deployment(
            "Market",
            MARKET,
            creation_code(include_str!("../../../candela/network/contracts/Market.json")),
            REGISTRY.abi_encode(),
        ),
        deployment(
            "SessionKeys",
            SESSION_KEYS,
            creation_code(include_str!("../../../candela/network/contracts/SessionKeys.json")),
            Vec::new(),
        ),
        deployment("Token", TOKEN, token_code(), Vec::new()),
        deployment("Heap", HEAP, creation_code(include_str!("../../../benches/contracts/Heap.json")), Vec::new()),
    ];
    for number in 0..pools {
        let (pool, first, second) = pool(number);
        let code = creation_code(include_str!("../../../benches/contracts/Pool.json"));
        all.push(deployment("First", first, token_code(), Vec::new()));
        all.push(deployment("Second", second, token_code(), Vec::new()));
        all.push(deployment("Pool", pool, code, (first, second).abi_encode()));
    }
    all
}
