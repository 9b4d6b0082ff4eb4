//! Validators that break the rules.

use super::world::{MEMBERS, key};
use crate::mutation::Forgery;
use crate::toy::{Toy, child};
use candela_ledger::{MachineError, Slot, StateMachine};
use candela_primitives::{B256, Block};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Recipients;
use commonware_p2p::simulated::SplitOrigin;
use commonware_runtime::IoBuf;
use std::sync::Arc;

/// The validator that may be Byzantine.
pub(crate) const TRAITOR: usize = MEMBERS - 1;

/// How a validator misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Byzantine {
    /// It never says anything.
    Silent,
    /// It proposes a block that claims another state.
    WrongStateRoot,
    /// It proposes a block that makes money out of nothing.
    InvalidTransaction,
    /// It proposes transactions that are included already.
    RepeatedTransaction,
    /// It proposes a block that is no younger than its parent.
    OldTimestamp,
    /// It chooses the randomness of its blocks.
    ChosenRandomness,
    /// It shows certificates that everybody seems to have signed.
    ForgedSignatures,
    /// It shows the certificate of another block than it says.
    OtherAncestor,
    /// It shows certificates that have been shown.
    ShownTwice,
    /// It sends its blocks to one other validator alone.
    Withholding,
    /// It runs twice with one key, each half with other friends: it proposes and votes twice.
    Equivocating,
    /// It sends again what it has sent in past epochs, under the name of the current one too.
    Replaying,
    /// It floods every channel as fast as its quotas allow, with what is malformed and with what is not.
    Flooding,
}

impl Byzantine {
    pub(crate) const ALL: [Self; 13] = [
        Self::Silent,
        Self::WrongStateRoot,
        Self::InvalidTransaction,
        Self::RepeatedTransaction,
        Self::OldTimestamp,
        Self::ChosenRandomness,
        Self::Withholding,
        Self::Equivocating,
        Self::Replaying,
        Self::Flooding,
        Self::ForgedSignatures,
        Self::OtherAncestor,
        Self::ShownTwice,
    ];
    /// Seeds after which a mix of all of them, and none, begins again.
    pub(crate) const COUNT: u64 = Self::ALL.len() as u64 + 1;

    /// What it forges, beside what its state machine does.
    pub(crate) const fn forgery(self) -> Option<Forgery> {
        match self {
            Self::ChosenRandomness => Some(Forgery::Randomness),
            Self::ForgedSignatures => Some(Forgery::Signatures),
            Self::OtherAncestor => Some(Forgery::Ancestor),
            Self::ShownTwice => Some(Forgery::Twice),
            _ => None,
        }
    }
}

/// A state machine that proposes what is wrong and accepts everything.
pub(crate) struct Liar {
    pub(crate) toy: Arc<Toy>,
    pub(crate) how: Byzantine,
}

impl StateMachine for Liar {
    fn genesis(&self) -> Arc<Block> {
        self.toy.genesis()
    }

    fn head(&self) -> Arc<Block> {
        self.toy.head()
    }

    fn hash(&self, number: u64) -> Result<Option<B256>, MachineError> {
        self.toy.hash(number)
    }

    fn begin(&self, ancestry: &[Arc<Block>]) {
        self.toy.begin(ancestry);
    }

    fn has_work(&self) -> bool {
        self.toy.has_work()
    }

    fn propose(&self, ancestry: &[Arc<Block>], slot: Slot) -> Result<Arc<Block>, MachineError> {
        let honest = self.toy.propose(ancestry, slot)?;
        let past = self.toy.past(ancestry)?;
        let mut transactions = honest.transactions.clone();
        match self.how {
            Byzantine::InvalidTransaction => transactions.push(vec![1; 9].into()),
            Byzantine::RepeatedTransaction => transactions.extend(past.included.last().cloned()),
            _ => {}
        }
        let mut block = child(&past.parent, &slot, transactions);
        match self.how {
            Byzantine::WrongStateRoot => block.header.shards[0].state_root = B256::repeat_byte(0xbb),
            Byzantine::OldTimestamp => block.header.timestamp_ms = past.parent.header.timestamp_ms,
            _ => {}
        }
        Ok(Arc::new(block))
    }

    fn verify(&self, _ancestry: &[Arc<Block>], _block: &Arc<Block>, _now_ms: u64) -> Result<(), MachineError> {
        Ok(())
    }

    fn finalize(&self, block: &Arc<Block>, certificate: &[u8]) -> Result<(), MachineError> {
        self.toy.finalize(block, certificate)
    }
}

/// Which of a Byzantine validator's messages leave it, and for whom.
pub(crate) type Forwarder = fn(SplitOrigin, &Recipients<PublicKey>, &IoBuf) -> Option<Recipients<PublicKey>>;

fn only(recipients: &Recipients<PublicKey>, friends: &[usize]) -> Option<Recipients<PublicKey>> {
    let friends: Vec<_> = friends.iter().map(|index| key(*index)).collect();
    let wanted = match recipients {
        Recipients::All => friends,
        Recipients::Some(some) => friends.into_iter().filter(|friend| some.contains(friend)).collect(),
        Recipients::One(one) => friends.into_iter().filter(|friend| friend == one).collect(),
    };
    (!wanted.is_empty()).then_some(Recipients::Some(wanted))
}

/// Everything to everybody.
pub(crate) fn honest(_: SplitOrigin, recipients: &Recipients<PublicKey>, _: &IoBuf) -> Option<Recipients<PublicKey>> {
    Some(recipients.clone())
}

/// To the first validator alone.
pub(crate) fn withhold(_: SplitOrigin, recipients: &Recipients<PublicKey>, _: &IoBuf) -> Option<Recipients<PublicKey>> {
    only(recipients, &[0])
}

/// Each half to its own friends; one validator hears both.
pub(crate) fn divide(
    origin: SplitOrigin,
    recipients: &Recipients<PublicKey>,
    _: &IoBuf,
) -> Option<Recipients<PublicKey>> {
    match origin {
        SplitOrigin::Primary => only(recipients, &[0, 1]),
        SplitOrigin::Secondary => only(recipients, &[1, 2]),
    }
}
