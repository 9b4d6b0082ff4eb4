//! What DESIGN section 10 asks to be measured.

use crate::contracts::{self, HEAP, Heap, Market, Pool, Registry, SessionKeys, TOKEN, Terms, Token, token_code};
use alloy_consensus::{TxEip1559, TypedTransaction};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::SolCall;
use candela_primitives::{
    CHAIN_ID, CandelaTransaction, Genesis, GenesisAccount, MARKET, Parameters, REGISTRY, SESSION_KEYS,
};

/// The base fee that all workloads can pay, nit per gas.
pub const BASE_FEE: u64 = Parameters::genesis(0).min_base_fee_per_gas;

const COIN: u128 = 1_000_000_000_000_000_000;
const POOLS: usize = 64;
const LEASE_TASKS: usize = 256;
const WORK: u64 = 1_000_000;
const PRICE: u64 = 1_000_000;

/// A transaction before it has a nonce and a signature.
#[derive(Clone, Debug)]
pub struct Call {
    /// Number of the sender.
    pub sender: usize,
    /// Who is called, or a creation.
    pub to: TxKind,
    /// Nit sent along.
    pub value: U256,
    /// Calldata or creation code.
    pub input: Bytes,
    /// Gas limit.
    pub gas: u64,
}

impl Call {
    fn to(sender: usize, to: Address, value: u128, input: Vec<u8>, gas: u64) -> Self {
        Self { sender, to: TxKind::Call(to), value: U256::from(value), input: input.into(), gas }
    }

    /// Authorizes a session key for the sender until `expiry`, Unix time in seconds, for all it has.
    #[must_use]
    pub fn authorize(sender: usize, key: B256, expiry: u64) -> Self {
        let call = SessionKeys::authorizeCall {
            key,
            expiry: U256::from(expiry),
            limit: (U256::from(1) << 104) - U256::from(1),
            scope: Vec::new(),
        };
        Self::to(sender, SESSION_KEYS, 0, call.abi_encode(), 200_000)
    }

    /// The fields of a type 0x50 transaction, to be signed by a session key of `sender`.
    #[must_use]
    pub fn session_fields(&self, nonce: u64, sender: Address) -> CandelaTransaction {
        CandelaTransaction {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: self.gas,
            max_fee_per_gas: u128::from(BASE_FEE) * 1_000_000,
            max_priority_fee_per_gas: 1_000,
            to: self.to,
            value: self.value,
            data: self.input.clone(),
            sender,
            ..CandelaTransaction::default()
        }
    }

    /// The fields of a type 2 transaction.
    #[must_use]
    pub fn fields(&self, nonce: u64) -> TypedTransaction {
        TypedTransaction::Eip1559(TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: self.gas,
            // Blocks over their target raise the base fee while a run lasts.
            max_fee_per_gas: u128::from(BASE_FEE) * 1_000_000,
            max_priority_fee_per_gas: 1_000,
            to: self.to,
            value: self.value,
            access_list: <_>::default(),
            input: self.input.clone(),
        })
    }
}

/// One of the workloads W1 to W9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Plain transfers between distinct pairs.
    Transfers,
    /// Plain transfers to one payee.
    TransfersToOne,
    /// ERC-20 transfers between distinct pairs.
    Tokens,
    /// ERC-20 transfers to one payee.
    TokensToOne,
    /// Swaps in many pools.
    Swaps,
    /// Swaps in one pool.
    SwapsInOne,
    /// Plain transfers of which each spends what the one before brought.
    Chain,
    /// Settlement of task receipts.
    Receipts,
    /// Half receipts, 30 % ERC-20 transfers, 10 % swaps, 10 % deployments and calls that write a lot.
    Mix,
}

/// A chain to start from and what happens on it.
pub struct World {
    /// The chain.
    pub genesis: Genesis,
    /// Transactions that set the scene.
    pub setup: Vec<Call>,
    /// Transactions to measure.
    pub calls: Vec<Call>,
    /// How many senders there are.
    pub senders: usize,
}

impl Workload {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Transfers,
        Self::TransfersToOne,
        Self::Tokens,
        Self::TokensToOne,
        Self::Swaps,
        Self::SwapsInOne,
        Self::Chain,
        Self::Receipts,
        Self::Mix,
    ];

    /// `W1` to `W9`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9"][self as usize]
    }

    /// What it is, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        [
            "transfers, distinct pairs",
            "transfers, one payee",
            "ERC-20, distinct pairs",
            "ERC-20, one payee",
            "swaps, many pools",
            "swaps, one pool",
            "dependent transfers",
            "task receipts",
            "mix",
        ][self as usize]
    }

    /// The workload with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name().eq_ignore_ascii_case(name))
    }

    /// `count` transactions from about `senders` senders, whose addresses `address` gives, on a chain that starts at
    /// `now`, Unix time in seconds.
    #[must_use]
    pub fn world(self, count: usize, senders: usize, now: u64, address: &dyn Fn(usize) -> Address) -> World {
        let senders = if self == Self::Chain { count + 1 } else { senders.clamp(1, count.max(1)) };
        let (mut setup, mut calls) = (Vec::new(), Vec::with_capacity(count));
        let receipts = match self {
            Self::Receipts => count,
            Self::Mix => count.div_ceil(2),
            _ => 0,
        };
        let jobs = receipts.div_ceil(LEASE_TASKS);
        let providers = jobs.min(senders);
        self.prepare(senders, address, &mut setup);
        prepare_market(jobs, providers, now, address, &mut setup);
        for at in 0..count {
            calls.push(self.call(at, senders, jobs, providers, address));
        }
        let rich = U256::from(COIN) * U256::from(1_000_000);
        let balance = |sender: usize| if self == Self::Chain && sender > 0 { U256::ZERO } else { rich };
        let accounts = (0..senders).map(|sender| (address(sender), GenesisAccount { balance: balance(sender) }));
        let pools = match self {
            Self::Swaps | Self::Mix => POOLS,
            Self::SwapsInOne => 1,
            _ => 0,
        };
        let genesis = Genesis {
            chain_id: CHAIN_ID,
            timestamp_ms: now * 1_000,
            block_gas_limit: 1_000_000_000,
            accounts: accounts.filter(|(_, account)| !account.balance.is_zero()).collect(),
            deployments: contracts::deployments(pools),
            epoch_blocks: None,
        };
        World { genesis, setup, calls, senders }
    }

    fn prepare(self, senders: usize, address: &dyn Fn(usize) -> Address, setup: &mut Vec<Call>) {
        let amount = U256::from(COIN) * U256::from(1_000);
        let mint = |sender: usize, token: Address, to: Address| {
            Call::to(sender, token, 0, Token::mintCall { to, amount }.abi_encode(), 150_000)
        };
        if matches!(self, Self::Tokens | Self::TokensToOne | Self::Mix) {
            setup.extend((0..senders).map(|sender| mint(sender, TOKEN, address(sender))));
        }
        if matches!(self, Self::Swaps | Self::SwapsInOne | Self::Mix) {
            let pools = if self == Self::SwapsInOne { 1 } else { POOLS };
            for number in 0..pools {
                let (pool, first, second) = contracts::pool(number);
                setup.extend([mint(0, first, pool), mint(0, second, pool)]);
                setup.push(Call::to(0, pool, 0, Pool::syncCall {}.abi_encode(), 200_000));
            }
            for sender in 0..senders {
                let (pool, first, _) = contracts::pool(sender % pools);
                let approval = Token::approveCall { spender: pool, amount: U256::MAX };
                setup.push(mint(sender, first, address(sender)));
                setup.push(Call::to(sender, first, 0, approval.abi_encode(), 100_000));
            }
        }
    }

    fn call(
        self,
        at: usize,
        senders: usize,
        jobs: usize,
        providers: usize,
        address: &dyn Fn(usize) -> Address,
    ) -> Call {
        let sender = at % senders;
        let stranger = Address::from_word(keccak256((at as u64).to_be_bytes()));
        let payee = Address::repeat_byte(0x77);
        let transfer = |to: Address| Token::transferCall { to, amount: U256::from(1) }.abi_encode();
        match self {
            Self::Transfers => Call::to(sender, stranger, 1, Vec::new(), 21_000),
            Self::TransfersToOne => Call::to(sender, payee, 1, Vec::new(), 21_000),
            Self::Tokens => Call::to(sender, TOKEN, 0, transfer(stranger), 80_000),
            Self::TokensToOne => Call::to(sender, TOKEN, 0, transfer(payee), 80_000),
            Self::Swaps => swap(sender, POOLS),
            Self::SwapsInOne => swap(sender, 1),
            // Each passes on what it got, less its gas at any price that it may come to.
            Self::Chain => {
                let kept = U256::from(21_000u64) * U256::from(BASE_FEE) * U256::from(1_000_000u64);
                let left = U256::from(COIN) * U256::from(1_000_000) - kept * U256::from(at + 1);
                Call { sender: at, to: TxKind::Call(address(at + 1)), value: left, input: Bytes::new(), gas: 21_000 }
            }
            Self::Receipts => receipt(at, jobs, providers),
            Self::Mix => match at % 10 {
                0 | 2 | 4 | 6 | 8 => receipt(at / 2, jobs, providers),
                1 | 3 | 5 => Call::to(sender, TOKEN, 0, transfer(stranger), 80_000),
                7 => swap(sender, POOLS),
                _ if at % 20 == 9 => {
                    Call { sender, to: TxKind::Create, value: U256::ZERO, input: token_code(), gas: 1_000_000 }
                }
                _ => {
                    let fill = Heap::fillCall { first: U256::from(at), count: U256::from(20) };
                    Call::to(sender, HEAP, 0, fill.abi_encode(), 700_000)
                }
            },
        }
    }
}

fn swap(sender: usize, pools: usize) -> Call {
    let (pool, _, _) = contracts::pool(sender % pools);
    let swap = Pool::swapCall { first_in: true, amount_in: U256::from(1_000_000), least_out: U256::ZERO };
    Call::to(sender, pool, 0, swap.abi_encode(), 200_000)
}

/// Providers with a device each, jobs of one lease each, given to the providers in turn.
fn prepare_market(jobs: usize, providers: usize, now: u64, address: &dyn Fn(usize) -> Address, setup: &mut Vec<Call>) {
    for provider in 0..providers {
        let register = Registry::registerCall { operator: address(provider) };
        setup.push(Call::to(provider, REGISTRY, COIN, register.abi_encode(), 500_000));
        let device = Registry::add_deviceCall {
            kind: 0,
            sandbox_tier: 1,
            memory_bytes: 1 << 30,
            intensity_ucd: 1_000_000,
            name: "cpu".to_owned(),
        };
        setup.push(Call::to(provider, REGISTRY, 0, device.abi_encode(), 500_000));
    }
    let terms = Terms {
        spec_hash: B256::repeat_byte(1),
        kind: 1,
        task_count: LEASE_TASKS as u32,
        max_price_per_unit: U256::from(PRICE),
        task_work_limit_uwu: WORK,
        device_kind: 255,
        min_tier: 1,
        min_memory_bytes: 1 << 20,
        retries: 1,
        task_timeout: 3_600,
        lease_seconds: 86_400,
        audit_window: 100,
        deadline: now + 300 * 86_400,
    };
    for _ in 0..jobs {
        let open = Market::open_jobCall { terms: terms.clone() };
        setup.push(Call::to(0, MARKET, COIN, open.abi_encode(), 1_000_000));
    }
    for job in 0..jobs {
        let lease = Market::take_leaseCall {
            job_id: job as u64 + 1,
            device_id: 0,
            price_per_unit: U256::from(PRICE),
            count: LEASE_TASKS as u32,
        };
        setup.push(Call::to(job % providers, MARKET, 0, lease.abi_encode(), 1_000_000));
    }
}

/// The receipt with a number: leases take turns, each settles its tasks in order.
fn receipt(at: usize, jobs: usize, providers: usize) -> Call {
    let (job, task) = (at % jobs, at / jobs);
    let settle = Market::settleCall {
        lease_id: (U256::from(job + 1) << 32) | U256::from(1),
        task: task as u32,
        outcome: 0,
        code_hash: B256::repeat_byte(2),
        input_hash: keccak256((at as u64).to_le_bytes()),
        output_hash: keccak256((at as u64).to_be_bytes()),
        started: 1_700_000_000,
        work_uwu: WORK,
        energy_mj: 5,
        energy_method: 3,
        price: U256::from(PRICE),
    };
    Call::to(job % providers, MARKET, 0, settle.abi_encode(), 300_000)
}
