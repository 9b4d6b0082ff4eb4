//! Which faults a simulation has.

use super::byzantine::Byzantine;

/// What happens to honest validators and their network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A validator loses what it had not written, and starts again.
    Crash,
    /// Two validators are cut off from the other two.
    Partition,
    /// A fifth of the messages is lost and the others are late.
    Loss,
    /// A validator crashes in the middle of a write, which stays half done.
    Torn,
    /// A bit of a validator's votes flips on its disk while it is down.
    Damage,
    /// A validator starts from an old copy of its votes.
    Backup,
    /// A validator's clock is seconds ahead or behind.
    Clock,
}

impl Fault {
    const ALL: [Self; 7] =
        [Self::Crash, Self::Partition, Self::Loss, Self::Torn, Self::Damage, Self::Backup, Self::Clock];
}

/// The faults that a seed chooses from.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) network: Vec<Fault>,
    /// `None` stands for a committee without a traitor.
    pub(crate) traitors: Vec<Option<Byzantine>>,
}

impl Faults {
    pub(crate) fn all() -> Self {
        let traitors = Byzantine::ALL.into_iter().map(Some);
        Self { network: Fault::ALL.to_vec(), traitors: [None].into_iter().chain(traitors).collect() }
    }

    /// Every fault of honest validators beside this traitor.
    pub(crate) fn with(traitor: Option<Byzantine>) -> Self {
        Self { traitors: vec![traitor], ..Self::all() }
    }

    /// This traitor and no other fault.
    pub(crate) fn only(traitor: Byzantine) -> Self {
        Self { network: Vec::new(), traitors: vec![Some(traitor)] }
    }

    /// Honest validators that forget votes, and no other fault.
    pub(crate) fn forgetting() -> Self {
        Self { network: vec![Fault::Damage, Fault::Backup], traitors: vec![None] }
    }

    /// Those of [`Self::all`] whose names are listed, as in `Crash,Loss,Equivocating`; every one when none is.
    pub(crate) fn named(names: &str) -> Self {
        let wanted = |name: String| names.is_empty() || names.split(',').any(|each| each.eq_ignore_ascii_case(&name));
        let mut faults = Self::all();
        faults.network.retain(|fault| wanted(format!("{fault:?}")));
        faults.traitors.retain(|traitor| traitor.is_none_or(|how| wanted(format!("{how:?}"))));
        faults
    }

    /// The traitor of a seed.
    pub(crate) fn traitor(&self, seed: u64) -> Option<Byzantine> {
        let count = u64::try_from(self.traitors.len()).unwrap();
        self.traitors[usize::try_from(seed % count).unwrap()]
    }
}
