//! Let seats lead as often as their stake says, in an order that the block randomness decides.
//!
//! The schedule of an epoch is a weighted round robin: in each view every seat gains its weight, and whoever has most,
//! the last leader aside, leads and pays what all have gained. So a seat that is gone costs one view at a time.
//! Independent draws would now and then make it the leader of several views in a row, each of which waits for the
//! leader's timeout, and would leave the frequency of turns to whoever chooses the randomness.

use crate::Member;
use candela_primitives::{B256, keccak256};
use commonware_consensus::simplex::elector::{Config, Elector, Scheduled, Terms};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::{Participant, Round};
use commonware_cryptography::ed25519::PublicKey;
use commonware_utils::ordered::Set;
use std::sync::Arc;

/// Turns of a schedule for each seat; then it begins again.
const TURNS: usize = 16;
/// The weight of a seat with the mean stake. Votes are equal, so the stake moves a seat's share of the views only between
/// [`LEAST`] and [`MOST`]: whoever has nearly all of it must not lead, and stop, nearly all views.
const MEAN: u128 = 2_000;
const LEAST: u128 = MEAN / 2;
const MOST: u128 = MEAN * 3 / 2;
/// All coins are fewer nit, which keeps products within their type.
const MAX_STAKE: u128 = 1 << 100;

/// What the schedule of an epoch follows from.
#[derive(Clone)]
pub(crate) struct Leaders {
    /// From the block that elected the epoch's validators.
    pub(crate) seed: B256,
    pub(crate) members: Vec<Member>,
}

/// Who leads in which view.
#[derive(Clone)]
pub(crate) struct Schedule(Arc<[Participant]>);

impl Leaders {
    fn weight(&self, key: &PublicKey) -> u128 {
        let stake = |member: &Member| member.weight.min(MAX_STAKE);
        let total: u128 = self.members.iter().map(stake).sum();
        let own = self.members.iter().find(|member| member.public_key == key.as_ref()).map_or(0, stake);
        (MEAN * self.members.len() as u128 * own / total.max(1)).clamp(LEAST, MOST)
    }
}

impl Config<Scheme> for Leaders {
    type Elector = Schedule;

    fn build(self, participants: &Set<PublicKey>) -> Schedule {
        assert!(!participants.is_empty(), "no participants");
        let place = |key: &PublicKey| keccak256([self.seed.as_slice(), key.as_ref()].concat());
        let seats = participants.iter().enumerate().map(|(seat, key)| (place(key), seat, self.weight(key)));
        let mut seats: Vec<_> = seats.collect();
        seats.sort_unstable();
        let total: u128 = seats.iter().map(|(_, _, weight)| weight).sum();
        let (mut gained, turns) = (vec![0; seats.len()], TURNS * seats.len());
        let mut leaders: Vec<usize> = Vec::with_capacity(turns);
        while leaders.len() < turns {
            gained.iter_mut().zip(&seats).for_each(|(gained, (_, _, weight))| *gained += weight.cast_signed());
            // After the last turn comes the first one again.
            let next = (leaders.len() == turns - 1).then(|| leaders.first()).flatten();
            let leads_twice = |at: &usize| leaders.last() == Some(at) || next == Some(at);
            let eligible = (0..seats.len()).filter(|at| seats.len() < 3 || !leads_twice(at));
            // The first among equals.
            let most = eligible.rev().max_by_key(|at| gained[*at]).unwrap_or_default();
            gained[most] -= total.cast_signed();
            leaders.push(most);
        }
        Schedule(leaders.into_iter().map(|at| Participant::from_usize(seats[at].1)).collect())
    }
}

impl Elector<Scheme> for Schedule {
    type Mode = Scheduled;

    fn terms(&self) -> Terms {
        Terms::rotating()
    }

    fn elect(&self, round: Round, (): ()) -> Participant {
        // The remainder is less than the length, which is a usize.
        self.0[(round.view().get() % self.0.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committee::{decode_key, public_key};
    use commonware_consensus::types::{Epoch, View};

    fn schedule(seed: u8, stakes: &[u128]) -> (Vec<Member>, Schedule) {
        let member = |(number, weight): (usize, &u128)| {
            let secret = [u8::try_from(number).unwrap() + 1; 32];
            Member { public_key: public_key(&secret).unwrap(), weight: *weight }
        };
        let members: Vec<_> = stakes.iter().enumerate().map(member).collect();
        let keys = Set::from_iter_dedup(members.iter().map(|member| decode_key(&member.public_key).unwrap()));
        let leaders = Leaders { seed: B256::repeat_byte(seed), members: members.clone() };
        let mut ordered = members;
        ordered.sort_by_key(|member| member.public_key);
        (ordered, leaders.build(&keys))
    }

    /// The leaders of the first views.
    fn views(schedule: &Schedule, count: u64) -> Vec<usize> {
        let round = |view| Round::new(Epoch::new(3), View::new(view));
        (1..=count).map(|view| usize::from(schedule.elect(round(view), ()))).collect()
    }

    #[test]
    fn turns_are_in_proportion_to_stake_within_bounds() {
        // The stake, and the share of the turns per mille. Means are 50: nothing counts as 25, and 197 as 75.
        for (stakes, expected) in [
            (vec![50; 4], vec![(50, 250)]),
            (vec![30, 40, 60, 70], vec![(30, 150), (40, 200), (60, 300), (70, 350)]),
            (vec![197, 1, 1, 1], vec![(197, 500), (1, 167)]),
        ] {
            let (members, schedule) = schedule(1, &stakes);
            let leaders = views(&schedule, (TURNS * stakes.len()) as u64);
            for (seat, member) in members.iter().enumerate() {
                let turns = leaders.iter().filter(|leader| **leader == seat).count();
                let share = expected.iter().find(|(stake, _)| *stake == member.weight).unwrap().1;
                let missing = (turns * 1_000).abs_diff(share * leaders.len());
                assert!(missing <= 1_100, "{} of {stakes:?}: {turns} of {} turns", member.weight, leaders.len());
            }
        }
    }

    #[test]
    fn nobody_leads_twice_in_a_row_among_three_and_more() {
        for seed in 0..20 {
            let weights = [vec![1; 3], vec![1; 4], vec![1_000, 1, 1, 1], vec![5, 4, 3, 2, 1], (1..=100).collect()];
            for stakes in weights {
                let leaders = views(&schedule(seed, &stakes).1, 5_000);
                assert!(leaders.windows(2).all(|pair| pair[0] != pair[1]), "{stakes:?}");
            }
        }
    }

    #[test]
    fn the_block_randomness_decides_the_order_alone() {
        let orders: std::collections::BTreeSet<_> = (0..50).map(|seed| views(&schedule(seed, &[1; 4]).1, 4)).collect();
        assert!(orders.len() > 10, "{} orders of 24 in 50 epochs", orders.len());
        assert!(orders.iter().all(|order| order.iter().sum::<usize>() == 6), "{orders:?}");
        assert_eq!(views(&schedule(7, &[3, 2, 1]).1, 500), views(&schedule(7, &[3, 2, 1]).1, 500));
    }

    #[test]
    fn stakes_of_any_size_make_a_schedule() {
        for stakes in [vec![1], vec![u128::MAX; 128], vec![1; 128], vec![u128::MAX, 1]] {
            let leaders = views(&schedule(1, &stakes).1, 3_000);
            assert!((0..stakes.len()).all(|seat| leaders.contains(&seat)), "{} seats", stakes.len());
        }
    }
}
