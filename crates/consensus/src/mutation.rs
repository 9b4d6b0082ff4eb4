//! Break one rule or clock at a time, in tests alone, to see that the simulator notices.

#[cfg(test)]
pub(crate) use switch::{Forgery, broken, clock_error_ms, forgery, set_clock, set_forger, without};

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
    /// The certificate of a height is shown once.
    #[cfg(test)]
    Attendance,
    /// `prevrandao` is the leader's signature.
    Randomness,
    /// A certificate that a block shows is of an ancestor.
    Ancestor,
    /// Its signatures are valid.
    Signatures,
    /// Votes that come after a certificate was made are shown too.
    Latecomers,
    /// A block is durable before it is acknowledged.
    Durability,
    /// A notarized block becomes final although nobody has work for its child.
    Finish,
    /// A vote is recorded before it is sent, and its records outlive a crash.
    Journal,
    /// A validator whose journal lacks votes that it has sent waits until they can't be contradicted.
    Memory,
    /// What a validator sent is not sent on.
    Announcement,
    /// A block whose time has not come is not voted for.
    Clock,
    /// A validator that sends invalid transactions is not listened to for a while.
    Credit,
    /// Only so many blocks of a validator are kept before anybody asks for them.
    Cache,
    /// Votes of past epochs tell nothing.
    Epoch,
}

/// Nothing is broken outside of tests.
#[cfg(not(test))]
#[inline]
pub(crate) const fn broken(_: Rule) -> bool {
    false
}

/// Clocks are right outside of tests.
#[cfg(not(test))]
#[inline]
pub(crate) const fn clock_error_ms(_: &candela_primitives::Address) -> i64 {
    0
}

#[cfg(test)]
mod switch {
    use super::Rule;
    use candela_primitives::Address;
    use std::cell::Cell;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
        static FORGER: Cell<Option<(Address, Forgery)>> = const { Cell::new(None) };
        static CLOCK: Cell<Option<(Address, i64)>> = const { Cell::new(None) };
    }

    /// What a proposer puts beside its blocks that is not what the rules ask for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Forgery {
        /// Randomness that it has chosen.
        Randomness,
        /// A certificate that everybody seems to have signed.
        Signatures,
        /// The certificate of another block than it says.
        Ancestor,
        /// A certificate that has been shown.
        Twice,
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

    /// Sets one validator's clock ahead by so many milliseconds, and every other one right.
    pub(crate) fn set_clock(error: Option<(Address, i64)>) {
        CLOCK.set(error);
    }

    pub(crate) fn clock_error_ms(validator: &Address) -> i64 {
        CLOCK.get().filter(|(wrong, _)| wrong == validator).map_or(0, |(_, error_ms)| error_ms)
    }

    /// Names the proposer that forges, if there is one.
    pub(crate) fn set_forger(forger: Option<(Address, Forgery)>) {
        FORGER.set(forger);
    }

    /// What a proposer forges.
    pub(crate) fn forgery(proposer: &Address) -> Option<Forgery> {
        FORGER.get().filter(|(forger, _)| forger == proposer).map(|(_, forgery)| forgery)
    }
}
