//! Transaction type 0x50: a named sender, and a signature of any scheme.

use alloy_consensus::{Transaction, Typed2718};
use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, ChainId, TxKind, U256, keccak256};
use alloy_rlp::{BufMut, Decodable, Encodable, Header, RlpDecodable};

/// A transaction of type 0x50 with its signature.
///
/// On the wire: `0x50 || rlp([chain_id, nonce, max_priority_fee_per_gas, max_fee_per_gas, gas_limit, to, value, data,
/// access_list, sender, scheme, signature])`, `to` empty for a creation. Fees are those of EIP-1559. What is signed is
/// [`Self::signing_hash`]; what `signature` holds depends on `scheme`.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpDecodable)]
pub struct CandelaTransaction {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The sender's nonce.
    pub nonce: u64,
    /// Tip, nit per gas.
    pub max_priority_fee_per_gas: u128,
    /// Most nit per gas, base fee and tip together.
    pub max_fee_per_gas: u128,
    /// Most gas.
    pub gas_limit: u64,
    /// Who is called.
    pub to: TxKind,
    /// Nit that `to` receives.
    pub value: U256,
    /// Calldata, or creation code.
    pub data: Bytes,
    /// EIP-2930.
    pub access_list: AccessList,
    /// Whose nonce and balance are used. Nothing but the state says whether the signer may act for it.
    pub sender: Address,
    /// How `signature` is to be read.
    pub scheme: u8,
    /// The signature, with whatever is needed to check it.
    pub signature: Bytes,
}

impl CandelaTransaction {
    /// EIP-2718 type.
    pub const TYPE: u8 = 0x50;
    /// Scheme of session keys: an Ed25519 public key (32 bytes) and its signature (64 bytes).
    pub const SESSION_SCHEME: u8 = 16;
    /// Bytes of a session key's signature with its public key.
    pub const SESSION_SIGNATURE_BYTES: usize = 96;

    /// Keccak-256 of `0x50 || rlp([all fields but signature])`.
    #[must_use]
    pub fn signing_hash(&self) -> B256 {
        let payload_length = self.unsigned_length();
        let mut out = Vec::with_capacity(payload_length + 10);
        out.push(Self::TYPE);
        Header { list: true, payload_length }.encode(&mut out);
        self.encode_unsigned(&mut out);
        keccak256(&out)
    }

    /// The public key and the signature by it, when `scheme` is that of session keys.
    #[must_use]
    pub fn session(&self) -> Option<(B256, &[u8; 64])> {
        let (key, signature) = self.signature.split_first_chunk::<32>()?;
        let signature = signature.try_into().ok()?;
        (self.scheme == Self::SESSION_SCHEME).then_some((B256::new(*key), signature))
    }

    /// Bytes of [`Self::encoded`].
    #[must_use]
    pub fn encoded_length(&self) -> usize {
        1 + self.length()
    }

    /// The EIP-2718 bytes.
    #[must_use]
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_length());
        out.push(Self::TYPE);
        self.encode(&mut out);
        out
    }

    /// Reads EIP-2718 bytes; the scheme and the signature may be anything.
    ///
    /// # Errors
    /// When the bytes are not exactly one canonical encoding.
    pub fn decode_exact(bytes: &[u8]) -> alloy_rlp::Result<Self> {
        let Some((&Self::TYPE, mut rest)) = bytes.split_first() else {
            return Err(alloy_rlp::Error::Custom("not a transaction of type 0x50"));
        };
        let transaction = Self::decode(&mut rest)?;
        if !rest.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        if transaction.encoded_length() != bytes.len() {
            return Err(alloy_rlp::Error::NonCanonicalSize);
        }
        Ok(transaction)
    }

    fn unsigned_length(&self) -> usize {
        self.chain_id.length()
            + self.nonce.length()
            + self.max_priority_fee_per_gas.length()
            + self.max_fee_per_gas.length()
            + self.gas_limit.length()
            + self.to.length()
            + self.value.length()
            + self.data.length()
            + self.access_list.length()
            + self.sender.length()
            + self.scheme.length()
    }

    fn encode_unsigned(&self, out: &mut dyn BufMut) {
        self.chain_id.encode(out);
        self.nonce.encode(out);
        self.max_priority_fee_per_gas.encode(out);
        self.max_fee_per_gas.encode(out);
        self.gas_limit.encode(out);
        self.to.encode(out);
        self.value.encode(out);
        self.data.encode(out);
        self.access_list.encode(out);
        self.sender.encode(out);
        self.scheme.encode(out);
    }

    fn header(&self) -> Header {
        Header { list: true, payload_length: self.unsigned_length() + self.signature.length() }
    }
}

/// The RLP list without the type byte.
impl Encodable for CandelaTransaction {
    fn encode(&self, out: &mut dyn BufMut) {
        self.header().encode(out);
        self.encode_unsigned(out);
        self.signature.encode(out);
    }

    fn length(&self) -> usize {
        self.header().length_with_payload()
    }
}

impl Typed2718 for CandelaTransaction {
    fn ty(&self) -> u8 {
        Self::TYPE
    }
}

impl Transaction for CandelaTransaction {
    fn chain_id(&self) -> Option<ChainId> {
        Some(self.chain_id)
    }

    fn nonce(&self) -> u64 {
        self.nonce
    }

    fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    fn gas_price(&self) -> Option<u128> {
        None
    }

    fn max_fee_per_gas(&self) -> u128 {
        self.max_fee_per_gas
    }

    fn max_priority_fee_per_gas(&self) -> Option<u128> {
        Some(self.max_priority_fee_per_gas)
    }

    fn max_fee_per_blob_gas(&self) -> Option<u128> {
        None
    }

    fn priority_fee_or_price(&self) -> u128 {
        self.max_priority_fee_per_gas
    }

    fn effective_gas_price(&self, base_fee: Option<u64>) -> u128 {
        alloy_eips::eip1559::calc_effective_gas_price(self.max_fee_per_gas, self.max_priority_fee_per_gas, base_fee)
    }

    fn is_dynamic_fee(&self) -> bool {
        true
    }

    fn kind(&self) -> TxKind {
        self.to
    }

    fn is_create(&self) -> bool {
        self.to.is_create()
    }

    fn value(&self) -> U256 {
        self.value
    }

    fn input(&self) -> &Bytes {
        &self.data
    }

    fn access_list(&self) -> Option<&AccessList> {
        Some(&self.access_list)
    }

    fn blob_versioned_hashes(&self) -> Option<&[B256]> {
        None
    }

    fn authorization_list(&self) -> Option<&[SignedAuthorization]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction() -> CandelaTransaction {
        CandelaTransaction {
            chain_id: crate::CHAIN_ID,
            nonce: 300,
            gas_limit: 21_000,
            value: U256::from(5),
            data: Bytes::from_static(&[0]),
            scheme: CandelaTransaction::SESSION_SCHEME,
            signature: vec![7; CandelaTransaction::SESSION_SIGNATURE_BYTES].into(),
            ..CandelaTransaction::default()
        }
    }

    #[test]
    fn decode_returns_what_was_encoded_and_refuses_all_else() {
        let bytes = transaction().encoded();
        assert_eq!(CandelaTransaction::decode_exact(&bytes), Ok(transaction()));
        for end in 0..bytes.len() {
            assert!(CandelaTransaction::decode_exact(&bytes[..end]).is_err(), "accepted {end} bytes");
        }
        assert!(CandelaTransaction::decode_exact(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn everything_but_the_signature_is_signed() {
        let (mut signed, mut other) = (transaction(), transaction());
        signed.signature = Bytes::new();
        assert_eq!(signed.signing_hash(), transaction().signing_hash());
        other.scheme += 1;
        assert_ne!(other.signing_hash(), transaction().signing_hash());
    }

    #[test]
    fn only_the_session_scheme_with_a_whole_signature_has_a_session_key() {
        assert_eq!(transaction().session(), Some((B256::repeat_byte(7), &[7; 64])));
        assert_eq!(CandelaTransaction { scheme: 1, ..transaction() }.session(), None);
        for length in [0, 95, 97] {
            let signature = vec![7; length].into();
            assert_eq!(CandelaTransaction { signature, ..transaction() }.session(), None);
        }
    }
}
