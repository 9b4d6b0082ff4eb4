//! Random blocks from a seed.

use crate::{contracts, state::MemoryState};
use alloy_consensus::{Signed, TxEip1559, TxEip7702, TxEnvelope};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Signature, TxKind};
use candela_evm::{BlockEnvironment, Schedule, SystemCall};
use candela_primitives::{
    Address, B256, Bytes, CandelaTransaction, SESSION_KEYS, SYSTEM, Transaction, U256, keccak256,
};
use candela_signing::{SecretKey, SessionKey, sign_session};
use std::collections::BTreeMap;

const CHAIN: u64 = 7;
const BASE_FEE: u64 = 1_000;
const ETHER: u64 = 1_000_000_000_000_000;

/// The splitmix64 generator: small, and the same everywhere.
pub(crate) struct Generator {
    state: u64,
    keys: Vec<SecretKey>,
    session: SessionKey,
    /// The contract of session keys, as genesis leaves it.
    session_code: Bytes,
    contracts: Vec<(Address, Bytes)>,
    beneficiary: Address,
    /// How strongly this seed's blocks meet: few accounts, or many.
    people: usize,
    plain: usize,
    /// Of a hundred calls, how many go where callers do not meet.
    calm: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let mut generator = Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            keys: Vec::new(),
            session: SessionKey::from_seed([7; 32]),
            session_code: contracts::session_keys(),
            contracts: contracts::all(),
            beneficiary: Address::repeat_byte(0xfe),
            people: 0,
            plain: 0,
            calm: 0,
        };
        generator.people = [3, 12, 60, 200, 1_500][generator.below(5)];
        generator.plain = [0, 30, 70, 95][generator.below(4)];
        generator.calm = [0, 60, 95, 99][generator.below(4)];
        generator.keys = (0..3).map(|_| generator.key()).collect();
        if generator.chance(10) {
            generator.beneficiary = match generator.below(3) {
                0 => generator.person(0),
                1 => generator.contracts[0].0,
                _ => generator.keys[0].address(),
            };
        }
        generator
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn key(&mut self) -> SecretKey {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        SecretKey::from_bytes(&bytes).unwrap()
    }

    /// Whom many pay, and whose balance a contract looks at without being told to.
    fn favourite() -> Address {
        Address::from_word(U256::from(0x7777).into())
    }

    fn person(&self, index: usize) -> Address {
        let mut bytes = [0x11; 20];
        bytes[0] = (index % 251) as u8;
        bytes[19] = (index / 251) as u8 + 1;
        Address::from(bytes)
    }

    /// Somebody who can send: a person, or rarely the owner of a key or the beneficiary.
    /// Many who pay the favourite, then many who look at its balance, none of whom has anything else in common.
    pub(crate) fn payments_then_looks(&mut self, each: usize) -> (MemoryState, Vec<Transaction>) {
        self.people = 2 * each;
        let state = self.genesis();
        let looks = self.contracts[4].0;
        let sent = |sender: Address, to: Address, value: u64, input: Bytes| {
            let fields = TxEip1559 {
                chain_id: CHAIN,
                gas_limit: 60_000,
                max_fee_per_gas: u128::from(BASE_FEE),
                to: TxKind::Call(to),
                value: U256::from(value),
                input,
                ..TxEip1559::default()
            };
            let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
            Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), sender)
        };
        let pays = (0..each).map(|index| sent(self.person(index), Self::favourite(), 1, Bytes::new()));
        let looks = (each..2 * each).map(|index| sent(self.person(index), looks, 0, Bytes::from_static(&[1; 4])));
        (state, pays.chain(looks).collect())
    }

    fn sender(&mut self) -> Address {
        match self.below(40) {
            0 if !self.chance(self.calm) => self.beneficiary,
            1 | 2 => {
                let index = self.below(self.keys.len());
                self.keys[index].address()
            }
            _ => {
                let index = self.below(self.people);
                self.person(index)
            }
        }
    }

    /// Anybody at all: mostly people, but contracts, precompiles, strangers and the beneficiary too.
    fn anybody(&mut self) -> Address {
        match self.below(12) {
            0 if !self.chance(self.calm) => self.beneficiary,
            1 if !self.chance(self.calm) => {
                let index = self.below(self.contracts.len());
                self.contracts[index].0
            }
            5 if self.chance(50) => Self::favourite(),
            _ if self.chance(self.calm) => {
                let index = self.below(self.people);
                self.person(index)
            }
            2 => Address::with_last_byte(self.below(12) as u8),
            5 => Self::favourite(),
            3 => {
                let index = self.below(1_000);
                self.person(300 + index)
            }
            4 => self.person(7_000),
            _ => self.sender(),
        }
    }

    pub(crate) fn genesis(&mut self) -> MemoryState {
        let mut state = MemoryState::default();
        for index in 0..self.people {
            let balance = if self.chance(8) { self.next() % 50_000_000 } else { ETHER };
            state.insert(self.person(index), 0, U256::from(balance), Bytes::new());
        }
        for key in &self.keys {
            state.insert(key.address(), 0, U256::from(ETHER), Bytes::new());
        }
        if self.chance(50) {
            state.insert(self.beneficiary, 0, U256::from(ETHER), Bytes::new());
        }
        if self.chance(50) {
            state.insert(SYSTEM, 0, U256::from(1 + self.below(1_000)), Bytes::new());
        }
        if self.chance(20) {
            // An account that exists and is empty: the first touch removes it.
            state.insert(self.person(7_000), 0, U256::ZERO, Bytes::new());
        }
        state.insert(SESSION_KEYS, 1, U256::ZERO, self.session_code.clone());
        for (address, code) in self.contracts.clone() {
            state.insert(address, 1, U256::from(self.next() % 1_000_000), code);
            state.set(address, U256::from(1), U256::from(self.next() % 2));
        }
        state
    }

    pub(crate) fn environment(&mut self) -> BlockEnvironment {
        let gas_limit = [30_000_000, 300_000_000, 3_000_000][self.below(3)];
        let mut environment = BlockEnvironment::candela(CHAIN, 1, 1_700_000_000, gas_limit, BASE_FEE);
        environment.beneficiary = self.beneficiary;
        environment.system_call = self.chance(40).then(|| SystemCall {
            contract: self.contract(),
            input: self.input(),
            pays: self.chance(50),
        });
        environment
    }

    pub(crate) fn schedule(&mut self) -> Schedule {
        Schedule {
            first_window: 1 + self.below(64),
            largest_window: 1 + self.below(512),
            batch_gas: [1, 60_000, 500_000][self.below(3)],
            eager: self.chance(50),
            disturbance: self.chance(30).then(|| self.next()),
        }
    }

    pub(crate) fn block(&mut self, state: &MemoryState) -> Vec<Transaction> {
        let length = [5, 40, 150, 400][self.below(4)];
        let mut nonces = BTreeMap::new();
        (0..length).map(|_| self.transaction(state, &mut nonces)).collect()
    }

    fn transaction(&mut self, state: &MemoryState, nonces: &mut BTreeMap<Address, u64>) -> Transaction {
        let sender = self.sender();
        let next = nonces.entry(sender).or_insert_with(|| state.nonce(&sender));
        let mut nonce = *next;
        // A repeated nonce, a gap, or the right one.
        match self.below(60) {
            0 => nonce += 1,
            1 => nonce = nonce.saturating_sub(1),
            _ => *next += 1,
        }
        let tip = u128::from([0u64, 1, 10, 500][self.below(4)]);
        let max_fee_per_gas = if self.chance(1) { 10 } else { u128::from(BASE_FEE) + 500 };
        if self.chance(12) {
            return self.session(sender, nonce, tip);
        }
        if self.chance(3) {
            return self.delegation(sender, nonce, tip, nonces);
        }
        let plain = self.below(100) < self.plain;
        let (to, input, gas_limit) = if plain {
            (TxKind::Call(self.anybody()), Bytes::new(), [21_000, 21_000, 60_000, 20_000][self.below(4)])
        } else if self.chance(3) {
            (TxKind::Create, contracts::assemble("0x7 0x1 sstore 0x1 0x0 return"), 200_000)
        } else {
            (TxKind::Call(self.contract()), self.input(), [60_000, 120_000, 300_000, 30_000][self.below(4)])
        };
        let value = match self.below(6) {
            0 => U256::ZERO,
            1 => U256::from(ETHER / 2),
            2 => U256::from(u128::MAX),
            _ => U256::from(self.next() % 1_000),
        };
        let fields = TxEip1559 {
            chain_id: CHAIN,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas: tip,
            to,
            value: if value > U256::from(ETHER) && !self.chance(10) { U256::from(3) } else { value },
            input,
            ..TxEip1559::default()
        };
        let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
        Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), sender)
    }

    /// A transaction that authorizes or revokes the session key, or one that the key signed.
    fn session(&mut self, sender: Address, nonce: u64, tip: u128) -> Transaction {
        let max_fee_per_gas = u128::from(BASE_FEE) + 500;
        if self.chance(60) {
            let to = if self.chance(70) { self.anybody() } else { self.contract() };
            let fields = CandelaTransaction {
                chain_id: CHAIN,
                nonce,
                gas_limit: 60_000,
                max_fee_per_gas,
                max_priority_fee_per_gas: tip,
                to: TxKind::Call(to),
                value: U256::from(self.next() % 1_000),
                data: if self.chance(50) { Bytes::new() } else { self.input() },
                sender,
                ..CandelaTransaction::default()
            };
            return sign_session(fields, &self.session);
        }
        let expiry = 1_700_000_000 + u64::from(self.chance(90));
        let limit = [100_000_000, 300_000_000, u64::MAX][self.below(3)];
        let mut words = vec![self.session.public().into(), U256::from(expiry), U256::from(limit), U256::from(128)];
        if self.chance(70) {
            words.push(U256::ZERO);
        } else {
            let callee = self.contract();
            words.extend([U256::from(1), U256::from_be_slice(callee.as_slice())]);
        }
        let function = if self.chance(85) { "authorize(bytes32,uint256,uint256,address[])" } else { "revoke(bytes32)" };
        let selector = keccak256(function);
        let input = selector[..4].iter().copied();
        let fields = TxEip1559 {
            chain_id: CHAIN,
            nonce,
            gas_limit: 300_000,
            max_fee_per_gas,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(SESSION_KEYS),
            input: input.chain(words.iter().flat_map(|word| word.to_be_bytes::<32>())).collect(),
            ..TxEip1559::default()
        };
        let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
        Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), sender)
    }

    fn contract(&mut self) -> Address {
        if self.chance(self.calm) {
            // The caller's counter, a token, the favourite's balance, a revert, a precompile.
            let index = [1, 2, 2, 4, 7, 10][self.below(6)];
            return self.contracts[index].0;
        }
        // Some accounts delegate to contracts, and children appear at their addresses.
        if self.chance(5) {
            return self.keys[0].address();
        }
        let index = self.below(self.contracts.len());
        self.contracts[index].0
    }

    fn input(&mut self) -> Bytes {
        let mut input = vec![1, 2, 3, 4];
        if self.chance(70) {
            input.extend_from_slice(self.anybody().into_word().as_slice());
        } else {
            input.extend_from_slice(&U256::from(self.below(4)).to_be_bytes::<32>());
        }
        input.into()
    }

    /// A transaction of type 4 that delegates a key's account to a contract, to nothing, or not at all.
    fn delegation(
        &mut self,
        sender: Address,
        nonce: u64,
        tip: u128,
        nonces: &mut BTreeMap<Address, u64>,
    ) -> Transaction {
        let index = self.below(self.keys.len());
        let key = self.keys[index].clone();
        let authority = nonces.entry(key.address()).or_default();
        let authorization = Authorization {
            chain_id: U256::from([CHAIN, 0, CHAIN + 1][(self.state % 3) as usize]),
            address: Address::ZERO,
            nonce: *authority,
        };
        *authority += 1;
        let target = if self.chance(20) { Address::ZERO } else { self.contract() };
        let authorization = Authorization { address: target, ..authorization };
        let signature = key.sign_digest(&authorization.signature_hash());
        let fields = TxEip7702 {
            chain_id: CHAIN,
            nonce,
            gas_limit: 150_000,
            max_fee_per_gas: u128::from(BASE_FEE) + 500,
            max_priority_fee_per_gas: tip,
            to: if self.chance(50) { key.address() } else { self.anybody() },
            value: U256::from(self.next() % 100),
            input: self.input(),
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signed = Signed::new_unchecked(fields, Signature::test_signature(), B256::ZERO);
        Transaction::new_unchecked(TxEnvelope::from(signed), Bytes::new(), sender)
    }
}
