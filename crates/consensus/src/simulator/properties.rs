//! What has to hold of every finalised block, computed apart from the code that agrees on it.

use super::ballots::Ballots;
use super::world::{MEMBERS, fee_recipient, key, secret, twin_recipient};
use crate::application::{CLOCK_DRIFT, prove_randomness};
use crate::block::randomness;
use crate::committee::private_key;
use crate::toy::{Past, SUPPLY, Toy, shown, violations};
use candela_primitives::{Block, U256};
use std::sync::Arc;
use std::time::Duration;

/// Invalid transactions of a traitor that an honest validator checks: after its start, and in each second.
const INVALID_PER_START: u64 = 2 * 2_048;
const INVALID_PER_SECOND: u64 = 400;

/// The one chain, as far as any honest validator has finalised it.
pub(crate) struct Properties {
    chain: Vec<Arc<Block>>,
    past: Past,
    /// The validators that keep the rules are those below.
    honest: usize,
    /// The validator of each seat.
    seats: [usize; MEMBERS],
    /// Certificates that blocks have shown, and those among them that each validator has signed.
    certificates: u32,
    signed: [u32; MEMBERS],
    /// How many blocks of each validator have been compared with it.
    compared: [usize; MEMBERS],
}

impl Properties {
    pub(crate) fn new(toy: &Toy, honest: usize) -> Self {
        let mut seats: [usize; MEMBERS] = std::array::from_fn(|index| index);
        seats.sort_by_key(|index| key(*index));
        Self {
            chain: toy.chain(),
            past: Past::new(toy.chain()[0].clone()),
            honest,
            seats,
            certificates: 0,
            signed: [0; MEMBERS],
            compared: [1; MEMBERS],
        }
    }

    pub(crate) const fn participation(&self) -> (u32, [u32; MEMBERS]) {
        (self.certificates, self.signed)
    }

    /// Checks what `toy`, the state machine of validator `index`, has finalised since the last call.
    ///
    /// `submitted` is how many transactions clients have sent, `starts` how often the validator has started, and `passed`
    /// how long the committee has existed.
    pub(crate) fn check(
        &mut self,
        (index, toy, starts): (usize, &Toy, u64),
        submitted: u64,
        (now_ms, passed): (u64, Duration),
        ballots: &Ballots,
    ) {
        let blocks = toy.chain();
        for (number, block) in blocks.iter().enumerate().skip(self.compared[index]) {
            match self.chain.get(number) {
                Some(known) => {
                    assert_eq!(known, block, "one chain: validator {index} finalised another block {number}")
                }
                None => self.extend(index, block, now_ms, ballots),
            }
        }
        self.compared[index] = blocks.len();
        let [received, invalid] = toy.received().map(|count| u64::try_from(count).unwrap());
        assert!(received <= submitted, "gossip: validator {index} was sent {received} of {submitted} transactions");
        let most = INVALID_PER_START * starts + INVALID_PER_SECOND * (passed.as_secs() + 1);
        assert!(invalid <= most, "credit: validator {index} checked {invalid} invalid transactions in {passed:?}");
    }

    fn extend(&mut self, index: usize, block: &Arc<Block>, now_ms: u64, ballots: &Ballots) {
        let (parent, number) = (&self.past.parent, block.header.number);
        let broken = violations(&self.past, block);
        assert!(broken.is_empty(), "rules: block {number}, final at validator {index}, breaks {broken:?}");
        let (claimed_ms, drift_ms) = (block.header.timestamp_ms, u64::try_from(CLOCK_DRIFT.as_millis()).unwrap());
        assert!(claimed_ms <= now_ms + drift_ms, "clock: block {number} is final {} ms early", claimed_ms - now_ms);
        let supply = block.header.shards[0].supply;
        assert_eq!(supply, U256::from(SUPPLY), "supply: block {number} changes it");
        let proposes = |index: &usize| [fee_recipient(*index), twin_recipient(*index)].contains(&block.header.proposer);
        let proposer = (0..MEMBERS).find(proposes).unwrap();
        let proof = prove_randomness(&private_key(&secret(proposer)).unwrap(), parent);
        assert_eq!(block.header.prevrandao, randomness(&proof), "randomness: validator {proposer} chose it");
        self.attend(block, ballots);
        self.past.extend(block);
        self.chain.push(block.clone());
    }

    /// Whoever is shown to have signed has voted.
    fn attend(&mut self, block: &Block, ballots: &Ballots) {
        let Some((height, shown)) = shown(block) else { return };
        let ancestor = self.chain[usize::try_from(height).unwrap()].hash();
        self.certificates += 1;
        assert_eq!(shown.signers >> MEMBERS, 0, "participation: there are no such seats");
        for (seat, validator) in self.seats.into_iter().enumerate().filter(|(seat, _)| shown.signers >> seat & 1 == 1) {
            let voted = validator >= self.honest || ballots.finalizes(validator, ancestor);
            let number = block.header.number;
            assert!(voted, "participation: block {number} says that seat {seat} signed block {height}; it did not");
            self.signed[validator] += 1;
        }
    }
}
