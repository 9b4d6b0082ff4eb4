//! Elect validators: the one thing that the ledger does by itself.

use crate::MachineError;
use alloy_primitives::U256;
use candela_evm::{BlockEnvironment, BlockHashes, CallRequest, CallResult, StateOverrides, SystemCall, call};
use candela_primitives::{Bytes, Epochs, STAKING, StateReader, keccak256};

/// Most seats of an epoch (`MAX_SEATS` of the staking contract).
const MAX_SEATS: usize = 128;
const WORD: usize = 32;
/// Words of a seat: owner, key, stake.
const SEAT_WORDS: usize = 3;
const CALL_GAS: u64 = 30_000_000;

fn input(signature: &str, epoch: u64) -> Bytes {
    [&keccak256(signature)[..4], &U256::from(epoch).to_be_bytes::<WORD>()].concat().into()
}

/// What the ledger does before the transactions of block `number`: the last block of an epoch elects the next validators.
pub(crate) fn system_call(epochs: Option<Epochs>, number: u64) -> Option<SystemCall> {
    let epochs = epochs.filter(|epochs| epochs.is_last(number))?;
    let input = input("elect(uint256)", epochs.containing(number) + 1);
    Some(SystemCall { contract: STAKING, input })
}

/// The keys of the seats of `epoch`, in the order of the contract; `None` when it is not elected yet or forgotten.
///
/// # Errors
/// When the state can't be read or the contract answers with what are no seats.
pub(crate) fn seats(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    epoch: u64,
) -> Result<Option<Vec<[u8; 32]>>, MachineError> {
    let request = CallRequest {
        to: Some(STAKING),
        gas: CALL_GAS,
        data: input("seats(uint256)", epoch),
        ..CallRequest::default()
    };
    let answer = call(state, hashes, environment, &request, &StateOverrides::new())
        .map_err(|error| MachineError::Storage(error.to_string()))?;
    match answer.result {
        CallResult::Success => decode(&answer.output).map(Some),
        CallResult::Revert => Ok(None),
        CallResult::Halt(reason) => Err(MachineError::Storage(format!("the seats can't be read: {reason:?}"))),
    }
}

/// Reads the ABI encoding of a list of (owner, key, stake).
fn decode(encoded: &[u8]) -> Result<Vec<[u8; 32]>, MachineError> {
    let (words, rest) = encoded.as_chunks::<WORD>();
    let wrong = || MachineError::Storage("the staking contract answers with what are no seats".to_owned());
    let [offset, count, fields @ ..] = words else { return Err(wrong()) };
    let count =
        usize::try_from(U256::from_be_bytes(*count)).ok().filter(|count| *count <= MAX_SEATS).ok_or_else(wrong)?;
    if !rest.is_empty() || U256::from_be_bytes(*offset) != U256::from(WORD) || fields.len() != SEAT_WORDS * count {
        return Err(wrong());
    }
    Ok(fields.chunks_exact(SEAT_WORDS).map(|seat| seat[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| U256::from(*number).to_be_bytes::<WORD>()).collect()
    }

    #[test]
    fn seats_are_read_and_what_is_cut_or_too_long_is_refused() {
        let good = words(&[32, 2, 1, 11, 5, 1, 12, 5]);
        let keys = decode(&good).unwrap();
        assert_eq!(keys.iter().map(|key| key[31]).collect::<Vec<_>>(), [11, 12]);
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_err(), "{length} bytes");
        }
        assert!(decode(&[good, vec![0]].concat()).is_err());
        assert!(decode(&words(&[32, u64::MAX])).is_err());
    }

    #[test]
    fn only_the_last_block_of_an_epoch_elects() {
        let epochs = Epochs::new(4);
        let elections: Vec<_> = (0..12).filter(|number| system_call(epochs, *number).is_some()).collect();
        assert_eq!(elections, [3, 7, 11]);
        assert_eq!(system_call(epochs, 7).unwrap().input, input("elect(uint256)", 2));
        assert_eq!(system_call(None, 3), None);
    }
}
