//! Candela's precompiled contracts: Ethereum's, and the verification of Ed25519 signatures.

use candela_primitives::{Address, Bytes};
use candela_signing::verify_ed25519;
use revm::{
    handler::EthPrecompiles,
    precompile::{
        EthPrecompileOutput, EthPrecompileResult, Precompile, PrecompileHalt, PrecompileId, PrecompileResult,
        PrecompileSpecId, Precompiles, calc_linear_cost, call_eth_precompile,
    },
    primitives::hardfork::SpecId,
};
use std::sync::OnceLock;

/// Takes key (32 bytes), signature (64) and message; returns the word 1 when the signature is valid by the rules of ZIP 215,
/// nothing otherwise.
pub const ED25519: Address = Address::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0c, 0xed]);
/// Gas of every verification.
const GAS: u64 = 2_000;
/// Gas of every word of input: SHA-512 reads all of it.
const GAS_PER_WORD: u64 = 12;
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// The precompiles of a fork; Ed25519 belongs to Candela's, Osaka.
pub(crate) fn of(spec: SpecId) -> &'static Precompiles {
    static OSAKA: OnceLock<Precompiles> = OnceLock::new();
    let ethereum = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
    if spec != SpecId::OSAKA {
        return ethereum;
    }
    OSAKA.get_or_init(|| {
        let mut all = ethereum.clone();
        all.extend([Precompile::new(PrecompileId::Custom("ED25519_VERIFY".into()), ED25519, ed25519)]);
        all
    })
}

/// Gives an EVM the precompiles of its fork.
pub(crate) fn install(precompiles: &mut EthPrecompiles, spec: SpecId) {
    *precompiles = EthPrecompiles { precompiles: of(spec), spec };
}

fn ed25519(input: &[u8], gas_limit: u64, reservoir: u64) -> PrecompileResult {
    Ok(call_eth_precompile(run, input, gas_limit, reservoir))
}

fn run(input: &[u8], gas_limit: u64) -> EthPrecompileResult {
    let gas = calc_linear_cost(input.len(), GAS, GAS_PER_WORD);
    if gas > gas_limit {
        return Err(PrecompileHalt::OutOfGas);
    }
    let output = if holds(input) { Bytes::from(one()) } else { Bytes::new() };
    Ok(EthPrecompileOutput::new(gas, output))
}

fn holds(input: &[u8]) -> bool {
    let Some((key, rest)) = input.split_first_chunk::<KEY_BYTES>() else { return false };
    let Some((signature, message)) = rest.split_first_chunk::<SIGNATURE_BYTES>() else { return false };
    verify_ed25519(key, signature, message)
}

const fn one() -> [u8; 32] {
    let mut word = [0; 32];
    word[31] = 1;
    word
}
