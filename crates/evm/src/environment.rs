//! What surrounds a transaction: the block, the chain, earlier block hashes.

use crate::SystemCall;
use candela_primitives::{Address, B256, U256};
use revm::{
    context::{BlockEnv, CfgEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};

/// The block that a transaction runs in.
#[derive(Clone, Debug)]
pub struct BlockEnvironment {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Rules in force; Candela runs Osaka, conformance tests every fork.
    pub spec: SpecId,
    /// Height.
    pub number: u64,
    /// Unix time in seconds.
    pub timestamp: u64,
    /// Receives priority fees.
    pub beneficiary: Address,
    /// Most gas that the block may use.
    pub gas_limit: u64,
    /// Nit per gas that is burned.
    pub base_fee_per_gas: u64,
    /// Randomness since the Merge (EIP-4399).
    pub prevrandao: B256,
    /// Difficulty before the Merge; zero on Candela.
    pub difficulty: U256,
    /// EIP-4844 excess blob gas; zero on Candela.
    pub excess_blob_gas: u64,
    /// EIP-4844 update fraction, `None` for the fork's own (EIP-7892 changes it between forks).
    pub blob_base_fee_update_fraction: Option<u64>,
    /// EIP-4844 blobs in a transaction, `None` for the fork's own limit.
    pub max_blobs_per_transaction: Option<u64>,
    /// Whether type 3 transactions execute; never on Candela.
    pub allow_blobs: bool,
    /// What the ledger itself does before the first transaction.
    pub system_call: Option<SystemCall>,
}

impl BlockEnvironment {
    /// A Candela block: fork Osaka, no blobs.
    #[must_use]
    pub const fn candela(chain_id: u64, number: u64, timestamp: u64, gas_limit: u64, base_fee_per_gas: u64) -> Self {
        Self {
            chain_id,
            spec: SpecId::OSAKA,
            number,
            timestamp,
            beneficiary: Address::ZERO,
            gas_limit,
            base_fee_per_gas,
            prevrandao: B256::ZERO,
            difficulty: U256::ZERO,
            excess_blob_gas: 0,
            blob_base_fee_update_fraction: None,
            max_blobs_per_transaction: None,
            allow_blobs: false,
            system_call: None,
        }
    }

    /// The same in revm's terms.
    #[must_use]
    pub fn block(&self) -> BlockEnv {
        let blob = match self.blob_base_fee_update_fraction {
            Some(fraction) => BlobExcessGasAndPrice::new(self.excess_blob_gas, fraction),
            None => BlobExcessGasAndPrice::new_with_spec(self.excess_blob_gas, self.spec),
        };
        BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee_per_gas,
            difficulty: self.difficulty,
            prevrandao: self.spec.is_enabled_in(SpecId::MERGE).then_some(self.prevrandao),
            blob_excess_gas_and_price: self.spec.is_enabled_in(SpecId::CANCUN).then_some(blob),
            ..BlockEnv::default()
        }
    }

    /// The rules in revm's terms.
    #[must_use]
    pub fn configuration(&self) -> CfgEnv {
        let mut configuration = CfgEnv::new_with_spec(self.spec).with_chain_id(self.chain_id);
        configuration.max_blobs_per_tx = self.max_blobs_per_transaction;
        configuration.blob_base_fee_update_fraction = self.blob_base_fee_update_fraction;
        configuration
    }
}

/// Hashes of earlier blocks for `BLOCKHASH`.
pub trait BlockHashes: Send + Sync {
    /// The hash of block `number`, or `None` when it is unknown (the EVM then sees zero).
    ///
    /// Only asked for the 256 blocks below the one that executes.
    fn block_hash(&self, number: u64) -> Option<B256>;
}

/// Knows no block.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBlockHashes;

impl BlockHashes for NoBlockHashes {
    fn block_hash(&self, _number: u64) -> Option<B256> {
        None
    }
}

impl<T: BlockHashes + ?Sized> BlockHashes for std::sync::Arc<T> {
    fn block_hash(&self, number: u64) -> Option<B256> {
        (**self).block_hash(number)
    }
}
