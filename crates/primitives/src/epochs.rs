//! Divide the chain into epochs, each with validators of its own.

/// Epochs of equally many blocks: epoch `e` has the heights from `e * blocks` on; epoch 0 has genesis too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs(u64);

impl Epochs {
    /// Fewest blocks of an epoch: one besides genesis.
    pub const MIN_BLOCKS: u64 = 2;

    /// Epochs of `blocks` blocks; `None` when these are too few.
    #[must_use]
    pub const fn new(blocks: u64) -> Option<Self> {
        if blocks < Self::MIN_BLOCKS { None } else { Some(Self(blocks)) }
    }

    /// Blocks of an epoch.
    #[must_use]
    pub const fn blocks(self) -> u64 {
        self.0
    }

    /// The epoch of a height.
    #[must_use]
    pub const fn containing(self, number: u64) -> u64 {
        number / self.0
    }

    /// The first height of an epoch.
    #[must_use]
    pub const fn first(self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.0)
    }

    /// The last height of an epoch.
    #[must_use]
    pub const fn last(self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.0).saturating_add(self.0 - 1)
    }

    /// Whether a height is the last one of its epoch, whose block elects the next validators.
    #[must_use]
    pub const fn is_last(self, number: u64) -> bool {
        number % self.0 == self.0 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_height_is_in_one_epoch_and_one_in_each_is_the_last() {
        let epochs = Epochs(5);
        for number in 0..100 {
            let epoch = epochs.containing(number);
            assert!(number <= epochs.last(epoch) && (epoch == 0 || number > epochs.last(epoch - 1)));
            assert_eq!(epochs.is_last(number), number == epochs.last(epoch));
        }
        assert_eq!((Epochs::new(5), Epochs::new(1)), (Some(epochs), None));
    }
}
