//! Receipts as Ethereum encodes them.

use alloy_consensus::{Eip658Value, Receipt as Fields, ReceiptEnvelope, ReceiptWithBloom, TxType, proofs};
use candela_primitives::{B256, Receipt};

/// What a receipt's type number must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction type {0} is unknown")]
pub struct UnknownType(pub u8);

/// The consensus form of a receipt; `root` replaces the status before Byzantium.
///
/// # Errors
/// When the type is none of Ethereum's.
pub fn envelope(receipt: &Receipt, root: Option<B256>) -> Result<ReceiptEnvelope, UnknownType> {
    let status = root.map_or(Eip658Value::Eip658(receipt.success), Eip658Value::PostState);
    let fields = Fields { status, cumulative_gas_used: receipt.cumulative_gas_used, logs: receipt.logs.clone() };
    let kind = TxType::try_from(receipt.tx_type).map_err(|_| UnknownType(receipt.tx_type))?;
    Ok(ReceiptEnvelope::from_typed(kind, ReceiptWithBloom::from(fields)))
}

/// Root over the receipts of a block since Byzantium.
///
/// # Errors
/// When a type is none of Ethereum's.
pub fn root(receipts: &[Receipt]) -> Result<B256, UnknownType> {
    let envelopes = receipts.iter().map(|receipt| envelope(receipt, None)).collect::<Result<Vec<_>, _>>()?;
    Ok(proofs::calculate_receipt_root(&envelopes))
}
