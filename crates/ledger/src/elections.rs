//! Elect validators, count who signs, and share the fees: what the ledger does by itself.

use crate::{MachineError, Seat};
use alloy_primitives::U256;
use candela_evm::{BlockEnvironment, BlockHashes, CallRequest, CallResult, StateOverrides, SystemCall, call};
use candela_primitives::{B256, Bytes, Epochs, Participation, STAKING, StateError, StateReader, keccak256};

/// Most seats of an epoch (`MAX_SEATS` of the staking contract).
const MAX_SEATS: usize = 128;
const WORD: usize = 32;
/// Words of a seat: owner, key, stake.
const SEAT_WORDS: usize = 3;
const CALL_GAS: u64 = 30_000_000;
/// Where the staking contract keeps the last height whose certificate was shown.
const ATTENDED_SLOT: U256 = U256::ONE;
/// Where it keeps the randomness of the block that elected each epoch.
const SEEDS_SLOT: u64 = 2;

fn input(signature: &str, arguments: &[U256]) -> Bytes {
    let words = arguments.iter().flat_map(U256::to_be_bytes::<WORD>);
    keccak256(signature)[..4].iter().copied().chain(words).collect()
}

/// What the ledger does before the transactions of block `number`, one call at most: the first block of an epoch shares
/// what the one before it has earned, the last one elects the next validators, one between that shows a certificate
/// counts who signed it.
///
/// # Errors
/// When the block must not show what it shows.
pub(crate) fn system_call(
    epochs: Option<Epochs>,
    number: u64,
    shown: Option<Participation>,
) -> Result<Option<SystemCall>, String> {
    let call = |signature, arguments: &[U256], pays| {
        Some(SystemCall { contract: STAKING, input: input(signature, arguments), pays })
    };
    if let Some(shown) = shown {
        let height = counted(epochs, number, shown)
            .ok_or_else(|| format!("it can't show a certificate of the block {} below it", shown.distance))?;
        return Ok(call("attend(uint256,uint256)", &[U256::from(height), U256::from(shown.signers)], false));
    }
    let Some(epochs) = epochs else { return Ok(None) };
    let epoch = epochs.containing(number);
    Ok(if epochs.is_last(number) {
        call("elect(uint256)", &[U256::from(epoch + 1)], false)
    } else if epoch > 0 && epochs.first(epoch) == number {
        call("distribute(uint256)", &[U256::from(epoch - 1)], true)
    } else {
        None
    })
}

/// The height of the certificate that block `number` shows; `None` where it must not. The last block of an epoch has an
/// election to make, and the first one no ancestor in it.
fn counted(epochs: Option<Epochs>, number: u64, shown: Participation) -> Option<u64> {
    let epochs = epochs.filter(|epochs| !epochs.is_last(number))?;
    let height = number.checked_sub(shown.distance.into())?;
    (height >= epochs.first(epochs.containing(number)).max(1)).then_some(height)
}

/// What block `number` may show of `known`, on top of `state`.
pub(crate) fn showable(
    epochs: Option<Epochs>,
    state: &dyn StateReader,
    number: u64,
    known: Option<Participation>,
) -> Result<Option<Participation>, StateError> {
    let Some(known) = known else { return Ok(None) };
    let Some(height) = counted(epochs, number, known) else { return Ok(None) };
    let attended = state.storage(&STAKING, &ATTENDED_SLOT)?;
    Ok((U256::from(height) > attended).then_some(known))
}

/// The randomness of the block that elected `epoch`.
pub(crate) fn seed(state: &dyn StateReader, epoch: u64) -> Result<B256, StateError> {
    let place = [SEEDS_SLOT, epoch].map(|number| U256::from(number).to_be_bytes::<WORD>()).concat();
    Ok(state.storage(&STAKING, &keccak256(place).into())?.into())
}

/// The seats of `epoch`, in the order of the contract; `None` when it is not elected yet or forgotten.
///
/// # Errors
/// When the state can't be read or the contract answers with what are no seats.
pub(crate) fn seats(
    state: &dyn StateReader,
    hashes: &dyn BlockHashes,
    environment: &BlockEnvironment,
    epoch: u64,
) -> Result<Option<Vec<Seat>>, MachineError> {
    let request = CallRequest {
        to: Some(STAKING),
        gas: CALL_GAS,
        data: input("seats(uint256)", &[U256::from(epoch)]),
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
fn decode(encoded: &[u8]) -> Result<Vec<Seat>, MachineError> {
    let (words, rest) = encoded.as_chunks::<WORD>();
    let wrong = || MachineError::Storage("the staking contract answers with what are no seats".to_owned());
    let [offset, count, fields @ ..] = words else { return Err(wrong()) };
    let count =
        usize::try_from(U256::from_be_bytes(*count)).ok().filter(|count| *count <= MAX_SEATS).ok_or_else(wrong)?;
    if !rest.is_empty() || U256::from_be_bytes(*offset) != U256::from(WORD) || fields.len() != SEAT_WORDS * count {
        return Err(wrong());
    }
    let seat =
        |fields: &[[u8; WORD]]| Seat { public_key: fields[1], stake: U256::from_be_bytes(fields[2]).saturating_to() };
    Ok(fields.chunks_exact(SEAT_WORDS).map(seat).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| U256::from(*number).to_be_bytes::<WORD>()).collect()
    }

    #[test]
    fn seats_are_read_and_what_is_cut_or_too_long_is_refused() {
        let good = words(&[32, 2, 1, 11, 5, 1, 12, 6]);
        let seats = decode(&good).unwrap();
        assert_eq!(seats.iter().map(|seat| (seat.public_key[31], seat.stake)).collect::<Vec<_>>(), [(11, 5), (12, 6)]);
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_err(), "{length} bytes");
        }
        assert!(decode(&[good, vec![0]].concat()).is_err());
        assert!(decode(&words(&[32, u64::MAX])).is_err());
    }

    /// What the ledger calls in a block.
    fn called(epochs: Option<Epochs>, number: u64, shown: Option<Participation>) -> Option<(Bytes, bool)> {
        system_call(epochs, number, shown).unwrap().map(|call| (call.input, call.pays))
    }

    #[test]
    fn an_epoch_shares_in_its_first_block_and_elects_in_its_last() {
        let epochs = Epochs::new(4);
        let elect = |epoch: u64| Some((input("elect(uint256)", &[U256::from(epoch)]), false));
        let distribute = |epoch: u64| Some((input("distribute(uint256)", &[U256::from(epoch)]), true));
        let calls: Vec<_> = (0..10).map(|number| called(epochs, number, None)).collect();
        assert_eq!(calls, [None, None, None, elect(1), distribute(0), None, None, elect(2), distribute(1), None]);
        let shortest: Vec<_> = (0..5).map(|number| called(Epochs::new(2), number, None)).collect();
        assert_eq!(shortest, [None, elect(1), distribute(0), elect(2), distribute(1)]);
        assert_eq!(called(None, 3, None), None);
    }

    #[test]
    fn a_certificate_counts_between_the_first_and_the_last_block_of_its_own_epoch() {
        let epochs = Epochs::new(6);
        let shown = |distance| Some(Participation { distance, signers: 0b101, certificate: [0; 15] });
        // Blocks 6 to 11 are epoch 1; the last of them elects.
        let expected: [&[u8]; 12] =
            [&[], &[], &[1], &[1, 2], &[1, 2, 3], &[], &[], &[1], &[1, 2], &[1, 2, 3], &[1, 2, 3, 4], &[]];
        for (number, expected) in (0..).zip(expected) {
            let countable = (1..=8).filter(|distance| system_call(epochs, number, shown(*distance)).is_ok());
            assert_eq!(countable.collect::<Vec<_>>(), expected, "block {number}");
        }
        let attend = input("attend(uint256,uint256)", &[U256::from(8), U256::from(5)]);
        assert_eq!(called(epochs, 10, shown(2)), Some((attend, false)));
        assert!(system_call(None, 10, shown(2)).is_err(), "nobody is elected");
    }
}
