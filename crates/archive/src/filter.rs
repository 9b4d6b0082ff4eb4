//! Which logs a query asks for.

use alloy_primitives::BloomInput;
use candela_primitives::{Address, B256, Bloom, Log};

/// The conditions of `eth_getLogs`, without the range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Emitters; empty stands for any.
    pub addresses: Vec<Address>,
    /// Per position the topics that match; an empty position matches any topic. At most four.
    pub topics: Vec<Vec<B256>>,
}

/// What one query may cost.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Most blocks in a range.
    pub blocks: u64,
    /// Most logs in an answer.
    pub logs: usize,
}

impl LogFilter {
    /// Whether a log matches.
    #[must_use]
    pub fn matches(&self, log: &Log) -> bool {
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= log.topics().len()
            && self.topics.iter().zip(log.topics()).all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }

    /// The fields that the filter restricts (0 is the emitter, 1 to 4 the topics) and the values that it allows.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (u8, Vec<&[u8]>)> {
        let emitters = (0, self.addresses.iter().map(|address| address.as_slice()).collect());
        let topics = self.topics.iter().zip(1u8..);
        std::iter::once(emitters)
            .chain(topics.map(|(wanted, field)| (field, wanted.iter().map(|topic| topic.as_slice()).collect())))
            .filter(|(_, values): &(u8, Vec<&[u8]>)| !values.is_empty())
    }

    /// Whether a block with this bloom filter may hold a matching log.
    #[must_use]
    pub fn may_match(&self, bloom: &Bloom) -> bool {
        let holds = |bytes: &[u8]| bloom.contains_input(BloomInput::Raw(bytes));
        (self.addresses.is_empty() || self.addresses.iter().any(|address| holds(address.as_slice())))
            && self.topics.iter().all(|wanted| wanted.is_empty() || wanted.iter().any(|topic| holds(topic.as_slice())))
    }
}
