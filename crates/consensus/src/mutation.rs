//! Break one rule at a time, in tests alone, to see that the simulator notices.

#[cfg(test)]
pub(crate) use switch::{broken, is_forger, set_forger, without};

/// A rule that honest validators keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A block follows its parent at the next height.
    #[cfg(test)]
    Parent,
    /// Timestamps increase.
    #[cfg(test)]
    Timestamp,
    /// Every transaction is valid.
    #[cfg(test)]
    Transactions,
    /// No transaction is included twice.
    #[cfg(test)]
    Replay,
    /// The header claims what executing the block gives.
    #[cfg(test)]
    StateRoot,
    /// `prevrandao` is the leader's signature.
    Randomness,
    /// A block is durable before it is acknowledged.
    Durability,
    /// A notarized block becomes final although nobody has work for its child.
    Finish,
    /// A vote is recorded before it is sent, and the record outlives a crash.
    Journal,
    /// What a validator sent is not sent on.
    Announcement,
}

/// Nothing is broken outside of tests.
#[cfg(not(test))]
#[inline]
pub(crate) const fn broken(_: Rule) -> bool {
    false
}

#[cfg(test)]
mod switch {
    use super::Rule;
    use candela_primitives::Address;
    use std::cell::Cell;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
        static FORGER: Cell<Option<Address>> = const { Cell::new(None) };
    }

    pub(crate) fn broken(rule: Rule) -> bool {
        BROKEN.get() == Some(rule)
    }

    /// Runs `simulation`, which has to stay on this thread, without `rule`.
    pub(crate) fn without<T>(rule: Rule, simulation: impl FnOnce() -> T) -> T {
        BROKEN.set(Some(rule));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(simulation));
        BROKEN.set(None);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Names the proposer that signs something else for the randomness of its blocks.
    pub(crate) fn set_forger(proposer: Option<Address>) {
        FORGER.set(proposer);
    }

    pub(crate) fn is_forger(proposer: &Address) -> bool {
        FORGER.get().as_ref() == Some(proposer)
    }
}
