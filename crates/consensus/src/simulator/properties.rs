//! What has to hold of every finalised block, computed apart from the code that agrees on it.

use super::world::{MEMBERS, fee_recipient, secret};
use crate::application::prove_randomness;
use crate::block::randomness;
use crate::committee::private_key;
use crate::toy::{SUPPLY, Toy, violations};
use candela_primitives::{Block, Bytes, U256};
use std::sync::Arc;

/// The one chain, as far as any honest validator has finalised it.
pub(crate) struct Properties {
    chain: Vec<Arc<Block>>,
    included: Vec<Bytes>,
    /// How many blocks of each validator have been compared with it.
    compared: [usize; MEMBERS],
}

impl Properties {
    pub(crate) fn new(toy: &Toy) -> Self {
        Self { chain: toy.chain(), included: Vec::new(), compared: [1; MEMBERS] }
    }

    /// Checks what `toy`, the state machine of validator `index`, has finalised since the last call.
    pub(crate) fn check(&mut self, index: usize, toy: &Toy, submitted: u64) {
        let blocks = toy.chain();
        for (number, block) in blocks.iter().enumerate().skip(self.compared[index]) {
            match self.chain.get(number) {
                Some(known) => {
                    assert_eq!(known, block, "one chain: validator {index} finalised another block {number}")
                }
                None => self.extend(index, block),
            }
        }
        self.compared[index] = blocks.len();
        let received = u64::try_from(toy.received()).unwrap();
        assert!(received <= submitted, "gossip: validator {index} was sent {received} of {submitted} transactions");
    }

    fn extend(&mut self, index: usize, block: &Arc<Block>) {
        let parent = self.chain.last().unwrap();
        let number = block.header.number;
        let broken = violations(parent, &self.included, block);
        assert!(broken.is_empty(), "rules: block {number}, final at validator {index}, breaks {broken:?}");
        let supply = block.header.shards[0].supply;
        assert_eq!(supply, U256::from(SUPPLY), "supply: block {number} changes it");
        let proposer = (0..MEMBERS).find(|index| fee_recipient(*index) == block.header.proposer).unwrap();
        let proof = prove_randomness(&private_key(&secret(proposer)).unwrap(), parent);
        assert_eq!(block.header.prevrandao, randomness(&proof), "randomness: validator {proposer} chose it");
        self.included.extend(block.transactions.iter().cloned());
        self.chain.push(block.clone());
    }
}
