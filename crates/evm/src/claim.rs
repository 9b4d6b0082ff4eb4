//! Who has touched what, and whether the order mattered.
//!
//! Transactions that are expected to have nothing in common form *groups*. Groups run in any order and on any worker;
//! the result counts only if no two of them touched the same thing in a way that depends on their order. A claim keeps,
//! for one location, which group used it in which way: one position stands for its group, and many readers for all.

/// No transaction.
const NOBODY: u32 = u32::MAX;

/// Which group each transaction of a window belongs to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// Position of the window's first transaction.
    pub(crate) first: u32,
    /// Group by position in the window.
    pub(crate) of: Vec<u32>,
}

impl Groups {
    fn same(&self, one: u32, other: u32) -> bool {
        self.of[(one - self.first) as usize] == self.of[(other - self.first) as usize]
    }
}

/// The transactions that used a location in one way: the first of them, and whether others are of other groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Users {
    first: u32,
    several: bool,
}

impl Default for Users {
    fn default() -> Self {
        Self { first: NOBODY, several: false }
    }
}

impl Users {
    const fn any(self) -> bool {
        self.first != NOBODY
    }

    pub(crate) const fn several(self) -> bool {
        self.several
    }

    fn add(&mut self, position: u32, groups: &Groups) {
        if self.any() {
            self.several = self.several || !groups.same(self.first, position);
        } else {
            self.first = position;
        }
    }

    /// Whether somebody of another group is among the users: then the first of all.
    fn stranger(self, position: u32, groups: &Groups) -> Option<u32> {
        (self.any() && (self.several || !groups.same(self.first, position))).then_some(self.first)
    }
}

/// Two transactions whose groups turned out to have something in common.
pub(crate) type Conflict = (u32, u32);

/// Use of one storage slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotClaim {
    users: Users,
    writers: Users,
}

impl SlotClaim {
    pub(crate) fn read(&mut self, position: u32, groups: &Groups) -> Option<Conflict> {
        let clash = self.writers.stranger(position, groups);
        self.users.add(position, groups);
        clash.map(|other| (other, position))
    }

    pub(crate) fn write(&mut self, position: u32, groups: &Groups) -> Option<Conflict> {
        let clash = self.users.stranger(position, groups);
        self.users.add(position, groups);
        self.writers.add(position, groups);
        clash.map(|other| (other, position))
    }

    /// Whether the claims of two workers clash.
    pub(crate) fn clash(&self, other: &Self) -> Option<Conflict> {
        let clash = (self.writers.any() && other.users.any()) || (other.writers.any() && self.users.any());
        clash.then(|| pair(self.users, other.users))
    }
}

/// The first users on either side of a clash, on which there is at least one.
const fn pair(one: Users, other: Users) -> Conflict {
    (one.first, other.first)
}

/// How a transaction used an account beyond looking at its nonce and code, which every use does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BalanceUse {
    /// Not at all.
    Nothing,
    /// Added to it without looking at it.
    Credit,
    /// Depended on its exact value, or whether the account is empty.
    Exact,
    /// Set it to a value that depends on what it was.
    Write,
}

/// Use of one account without its slots: nonce, code and existence on one side, balance on the other.
///
/// Balance credits commute: any number of groups may add to a balance as long as nobody looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountClaim {
    users: Users,
    writers: Users,
    observers: Users,
    setters: Users,
    creditors: Users,
}

impl AccountClaim {
    /// Notes a use; `writes` tells whether nonce, code or storage as a whole changed.
    pub(crate) fn touch(
        &mut self,
        position: u32,
        writes: bool,
        balance: BalanceUse,
        groups: &Groups,
    ) -> Option<Conflict> {
        let identity = if writes { self.users } else { self.writers }.stranger(position, groups);
        self.users.add(position, groups);
        if writes {
            self.writers.add(position, groups);
        }
        let value = self.touch_balance(position, balance, groups);
        identity.or(value).map(|other| (other, position))
    }

    fn touch_balance(&mut self, position: u32, balance: BalanceUse, groups: &Groups) -> Option<u32> {
        let (clash, lists): (Option<u32>, [Option<&mut Users>; 2]) = match balance {
            BalanceUse::Nothing => return None,
            BalanceUse::Credit => (self.observers.stranger(position, groups), [Some(&mut self.creditors), None]),
            BalanceUse::Exact => {
                let clash = self.setters.stranger(position, groups).or(self.creditors.stranger(position, groups));
                (clash, [Some(&mut self.observers), None])
            }
            BalanceUse::Write => {
                let clash = self.observers.stranger(position, groups).or(self.creditors.stranger(position, groups));
                (clash, [Some(&mut self.observers), Some(&mut self.setters)])
            }
        };
        lists.into_iter().flatten().for_each(|list| list.add(position, groups));
        clash
    }

    /// Whether several groups added to the balance.
    pub(crate) const fn credited_by_several(&self) -> bool {
        self.creditors.several()
    }

    /// Whether the claims of two workers clash.
    pub(crate) fn clash(&self, other: &Self) -> Option<Conflict> {
        let identity = (self.writers.any() && other.users.any()) || (other.writers.any() && self.users.any());
        let credits =
            (self.creditors.any() && other.observers.any()) || (other.creditors.any() && self.observers.any());
        let balance = (self.setters.any() && other.observers.any()) || (other.setters.any() && self.observers.any());
        (identity || credits || balance).then(|| pair(self.users, other.users))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Groups {
        Groups { first: 10, of: vec![0, 0, 1, 2] }
    }

    #[test]
    fn a_slot_may_be_read_by_all_or_written_by_one_group() {
        let groups = groups();
        let mut claim = SlotClaim::default();
        assert_eq!(claim.read(10, &groups), None);
        assert_eq!(claim.write(11, &groups), None, "same group");
        assert_eq!(claim.read(12, &groups), Some((11, 12)));
        let mut shared = SlotClaim::default();
        assert_eq!(shared.read(10, &groups), None);
        assert_eq!(shared.read(12, &groups), None);
        assert_eq!(shared.write(10, &groups), Some((10, 10)), "several readers");
    }

    #[test]
    fn credits_commute_until_somebody_looks() {
        let groups = groups();
        let mut claim = AccountClaim::default();
        assert_eq!(claim.touch(10, false, BalanceUse::Credit, &groups), None);
        assert_eq!(claim.touch(12, false, BalanceUse::Credit, &groups), None);
        assert!(claim.credited_by_several());
        assert!(claim.touch(13, false, BalanceUse::Exact, &groups).is_some());
        let mut set = AccountClaim::default();
        assert_eq!(set.touch(10, true, BalanceUse::Write, &groups), None);
        assert_eq!(set.touch(12, false, BalanceUse::Credit, &groups), Some((10, 12)));
    }

    #[test]
    fn claims_of_two_workers_clash_unless_both_only_read_or_only_credit() {
        let groups = groups();
        let claim = |writes, balance| {
            let mut claim = AccountClaim::default();
            claim.touch(10, writes, balance, &groups);
            claim
        };
        use BalanceUse::{Credit, Exact, Nothing, Write};
        let clashes = |one: (bool, BalanceUse), other: (bool, BalanceUse)| {
            let (one, other) = (claim(one.0, one.1), claim(other.0, other.1));
            assert_eq!(one.clash(&other).is_some(), other.clash(&one).is_some());
            one.clash(&other).is_some()
        };
        assert!(!clashes((false, Exact), (false, Exact)));
        assert!(!clashes((false, Credit), (false, Credit)));
        assert!(!clashes((false, Credit), (false, Nothing)));
        assert!(clashes((false, Credit), (false, Exact)));
        assert!(clashes((false, Credit), (false, Write)));
        assert!(clashes((false, Write), (false, Exact)));
        assert!(clashes((true, Nothing), (false, Nothing)));
    }
}
