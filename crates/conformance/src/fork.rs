//! Names and rules of Ethereum's forks.

use candela_evm::SpecId;

/// A fork as the test formats name it, or `None` when the engine does not have it.
///
/// Constantinople without its fix (EIP-1283) never ran on the public chain and is not executed.
#[must_use]
pub fn by_name(name: &str) -> Option<SpecId> {
    Some(match name {
        "Frontier" => SpecId::FRONTIER,
        "Homestead" => SpecId::HOMESTEAD,
        "EIP150" | "TangerineWhistle" => SpecId::TANGERINE,
        "EIP158" | "SpuriousDragon" => SpecId::SPURIOUS_DRAGON,
        "Byzantium" => SpecId::BYZANTIUM,
        "ConstantinopleFix" | "Petersburg" => SpecId::PETERSBURG,
        "Istanbul" | "MuirGlacier" => SpecId::ISTANBUL,
        "Berlin" => SpecId::BERLIN,
        "London" | "ArrowGlacier" | "GrayGlacier" => SpecId::LONDON,
        "Merge" | "Paris" => SpecId::MERGE,
        "Shanghai" => SpecId::SHANGHAI,
        "Cancun" => SpecId::CANCUN,
        "Prague" => SpecId::PRAGUE,
        "Osaka" => SpecId::OSAKA,
        _ => return None,
    })
}

/// The blob rules that EIP-7840 and EIP-7892 move between and inside forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobSchedule {
    /// Most blobs in a block.
    pub max: u64,
    /// EIP-4844 `BLOB_BASE_FEE_UPDATE_FRACTION`.
    pub base_fee_update_fraction: u64,
}

impl BlobSchedule {
    /// The schedule that the fork itself brought; `None` before Cancun.
    #[must_use]
    pub fn of(spec: SpecId) -> Option<Self> {
        if spec.is_enabled_in(SpecId::PRAGUE) {
            Some(Self { max: 9, base_fee_update_fraction: 5_007_716 })
        } else if spec.is_enabled_in(SpecId::CANCUN) {
            Some(Self { max: 6, base_fee_update_fraction: 3_338_477 })
        } else {
            None
        }
    }

    /// Most blobs in one transaction: the block's, and at most six since EIP-7594.
    #[must_use]
    pub fn max_per_transaction(&self, spec: SpecId) -> u64 {
        const EIP_7594_MAX: u64 = 6;
        if spec.is_enabled_in(SpecId::OSAKA) { self.max.min(EIP_7594_MAX) } else { self.max }
    }
}

/// First block of each fork of the public chain up to the Merge, the newest first.
const MAINNET_BLOCKS: [(u64, SpecId); 9] = [
    (15_537_394, SpecId::MERGE),
    (12_965_000, SpecId::LONDON),
    (12_244_000, SpecId::BERLIN),
    (9_069_000, SpecId::ISTANBUL),
    (7_280_000, SpecId::PETERSBURG),
    (4_370_000, SpecId::BYZANTIUM),
    (2_675_000, SpecId::SPURIOUS_DRAGON),
    (2_463_000, SpecId::TANGERINE),
    (1_150_000, SpecId::HOMESTEAD),
];

/// First second of each later fork, the newest first.
const MAINNET_TIMES: [(u64, SpecId); 4] = [
    (1_764_798_551, SpecId::OSAKA),
    (1_746_612_311, SpecId::PRAGUE),
    (1_710_338_135, SpecId::CANCUN),
    (1_681_338_455, SpecId::SHANGHAI),
];

/// First second of each change of blob rules inside Osaka, the newest first.
const MAINNET_BLOBS: [(u64, BlobSchedule); 2] = [
    (1_767_747_671, BlobSchedule { max: 21, base_fee_update_fraction: 11_684_671 }),
    (1_765_290_071, BlobSchedule { max: 15, base_fee_update_fraction: 8_346_193 }),
];

/// The rules of a block of the public chain.
#[must_use]
pub fn mainnet(number: u64, timestamp: u64) -> (SpecId, Option<BlobSchedule>) {
    let by_time = MAINNET_TIMES.iter().find(|(start, _)| timestamp >= *start);
    let by_number = MAINNET_BLOCKS.iter().find(|(start, _)| number >= *start);
    let spec = by_time.or(by_number).map_or(SpecId::FRONTIER, |(_, spec)| *spec);
    let blobs = MAINNET_BLOBS.iter().find(|(start, _)| timestamp >= *start).map(|(_, schedule)| *schedule);
    (spec, blobs.or_else(|| BlobSchedule::of(spec)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_begin_at_their_block_or_second() {
        assert_eq!(mainnet(1_149_999, 0).0, SpecId::FRONTIER);
        assert_eq!(mainnet(1_150_000, 0).0, SpecId::HOMESTEAD);
        assert_eq!(mainnet(12_964_999, 0).0, SpecId::BERLIN);
        assert_eq!(mainnet(15_537_394, 1_663_224_179).0, SpecId::MERGE);
        assert_eq!(mainnet(17_034_870, 1_681_338_455).0, SpecId::SHANGHAI);
        assert_eq!(mainnet(19_426_586, 1_710_338_134).0, SpecId::SHANGHAI);
        assert_eq!(mainnet(24_000_000, 1_766_000_000), (SpecId::OSAKA, Some(MAINNET_BLOBS[1].1)));
    }
}
