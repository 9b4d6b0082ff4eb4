//! Blocks, transactions and logs come back as they were stored.

#![allow(clippy::unwrap_used, missing_docs)]

use alloy_consensus::{Header, TxLegacy, TypedTransaction};
use candela_archive::{Archive, ArchiveError, ArchivedBlock, ArchivedHeader, Beginning, LogFilter, LogLimits};
use candela_primitives::{Address, B256, Bloom, Bytes, CandelaTransaction, Log, Receipt};
use candela_signing::{SecretKey, SessionKey, sign_session, sign_transaction};
use std::{ops::Range, sync::Arc};

const LIMITS: LogLimits = LogLimits { blocks: 1_000, logs: 100 };

fn block(number: u64, emitter: u8) -> Arc<ArchivedBlock> {
    let key = SecretKey::from_bytes(&[1; 32]).unwrap();
    let legacy = TxLegacy { nonce: number, gas_limit: 21_000, ..TxLegacy::default() };
    let session = CandelaTransaction { nonce: number, sender: key.address(), ..CandelaTransaction::default() };
    let transactions = vec![
        sign_transaction(TypedTransaction::Legacy(legacy), &key).unwrap(),
        sign_session(session, &SessionKey::from_seed([1; 32])),
    ];
    let log = Log::new_unchecked(
        Address::repeat_byte(emitter),
        vec![B256::repeat_byte(1), B256::repeat_byte(number as u8)],
        Bytes::from_static(b"data"),
    );
    let receipts = vec![
        Receipt { success: true, ..Receipt::default() },
        Receipt { logs: vec![log.clone()], ..Receipt::default() },
    ];
    let mut logs_bloom = Bloom::ZERO;
    logs_bloom.accrue_log(&log);
    Arc::new(ArchivedBlock {
        hash: B256::with_last_byte(number as u8 + 1),
        ethereum_header: Header { number, logs_bloom, ..Header::default() },
        header_bytes: Bytes::from_static(b"header"),
        transactions: Arc::new(transactions.into_iter().map(Arc::new).collect()),
        receipts: Arc::new(receipts),
        certificate: Bytes::from_static(b"certificate"),
    })
}

#[test]
fn everything_survives_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive.redb");
    let archive = Archive::open(&path).unwrap();
    for number in 0..100 {
        archive.append(block(number, 1)).unwrap();
    }
    drop(archive);
    let archive = Archive::open(&path).unwrap();
    assert_eq!(archive.head().unwrap(), block(99, 1));
    for number in [0, 1, 50, 99] {
        let expected = block(number, 1);
        assert_eq!(archive.block(number).unwrap().unwrap(), expected);
        assert_eq!(archive.block_by_hash(&expected.hash).unwrap().unwrap(), expected);
        let (found, index) = archive.transaction(&expected.transactions[1].hash()).unwrap().unwrap();
        assert_eq!((found.number(), index), (number, 1));
    }
    let expected = block(50, 1);
    let header = archive.header(50).unwrap().unwrap();
    assert_eq!((header.hash, &header.ethereum_header), (expected.hash, &expected.ethereum_header));
    assert_eq!(
        (header.header_bytes, header.certificate),
        (expected.header_bytes.clone(), expected.certificate.clone())
    );
    assert_eq!(archive.receipts(50).unwrap().unwrap(), *expected.receipts);
    assert_eq!(archive.hash(50).unwrap(), Some(expected.hash));
    assert!(archive.header(100).unwrap().is_none() && archive.receipts(100).unwrap().is_none());
    assert!(archive.block(100).unwrap().is_none());
    assert!(archive.transaction(&B256::ZERO).unwrap().is_none());
}

#[test]
fn a_lost_or_old_index_is_made_again_and_a_foreign_one_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, index) = (directory.path().join("archive.redb"), directory.path().join("archive.index.redb"));
    let append = |archive: &Archive, numbers: Range<u64>| numbers.for_each(|it| archive.append(block(it, 1)).unwrap());
    let archive = Archive::open(&path).unwrap();
    append(&archive, 0..10);
    drop(archive);
    let old = std::fs::read(&index).unwrap();
    let archive = Archive::open(&path).unwrap();
    append(&archive, 10..700);
    drop(archive);
    let whole = std::fs::read(&index).unwrap();
    let any = LogFilter { addresses: vec![Address::repeat_byte(1)], topics: vec![vec![], vec![B256::repeat_byte(60)]] };
    for left in [Some(old), None, Some(whole.clone())] {
        match left {
            Some(bytes) => std::fs::write(&index, bytes).unwrap(),
            None => std::fs::remove_file(&index).unwrap(),
        }
        let archive = Archive::open(&path).unwrap();
        for number in [0, 9, 10, 500, 699] {
            let (found, _) = archive.transaction(&block(number, 1).transactions[0].hash()).unwrap().unwrap();
            assert_eq!(found.number(), number);
        }
        let logs = archive.logs(0..=699, &any, LIMITS).unwrap();
        assert_eq!(logs.iter().map(|log| log.block_number).collect::<Vec<_>>(), [60, 316, 572]);
    }
    std::fs::remove_file(&path).unwrap();
    let archive = Archive::open(&path).unwrap();
    append(&archive, 0..1);
    drop(archive);
    std::fs::write(&index, whole).unwrap();
    assert!(Archive::open(&path).err().unwrap().to_string().contains("remove *.index.redb"));
}

#[test]
fn only_the_next_block_or_a_stored_one_is_taken() {
    let archive = Archive::in_memory().unwrap();
    archive.append(block(0, 1)).unwrap();
    archive.append(block(0, 1)).unwrap();
    assert!(matches!(archive.append(block(2, 1)), Err(ArchiveError::Gap { number: 2, head: Some(0) })));
    let mut other = (*block(0, 1)).clone();
    other.hash = B256::repeat_byte(9);
    assert!(matches!(archive.append(Arc::new(other)), Err(ArchiveError::Conflict { number: 0, .. })));
}

#[test]
fn logs_are_found_by_emitter_and_topic_within_limits() {
    let archive = Archive::in_memory().unwrap();
    for number in 0..20 {
        archive.append(block(number, 1 + (number % 2) as u8)).unwrap();
    }
    let by_emitter = LogFilter { addresses: vec![Address::repeat_byte(2)], topics: vec![] };
    let found = archive.logs(0..=u64::MAX, &by_emitter, LIMITS).unwrap();
    assert_eq!(found.iter().map(|log| log.block_number).collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    assert_eq!((found[0].transaction_index, found[0].log_index), (1, 0));

    let by_topic =
        LogFilter { addresses: vec![], topics: vec![vec![], vec![B256::repeat_byte(4), B256::repeat_byte(6)]] };
    let found = archive.logs(5..=10, &by_topic, LIMITS).unwrap();
    assert_eq!(found.iter().map(|log| log.block_number).collect::<Vec<_>>(), [6]);

    let too_deep = LogFilter { addresses: vec![], topics: vec![vec![]; 3] };
    assert!(archive.logs(0..=19, &too_deep, LIMITS).unwrap().is_empty());
    let few = LogLimits { logs: 3, ..LIMITS };
    assert!(matches!(archive.logs(0..=19, &by_emitter, few), Err(ArchiveError::TooManyLogs { to: 6, .. })));
    let narrow = LogLimits { blocks: 5, ..LIMITS };
    assert!(matches!(archive.logs(0..=9, &by_emitter, narrow), Err(ArchiveError::RangeTooWide { blocks: 10, .. })));
}

#[test]
fn the_index_finds_what_a_scan_finds() {
    let archive = Archive::in_memory().unwrap();
    let blocks: Vec<_> = (0..60).map(|number| block(number, (number % 5) as u8)).collect();
    for block in &blocks {
        archive.append(block.clone()).unwrap();
    }
    let addresses = [vec![], vec![1], vec![2, 4], vec![9]];
    let topics: [Vec<Vec<u8>>; 6] = [
        vec![],
        vec![vec![1]],
        vec![vec![2]],
        vec![vec![], vec![6, 7, 12]],
        vec![vec![1], vec![7]],
        vec![vec![], vec![]],
    ];
    let mut found_any = 0;
    for emitters in &addresses {
        for wanted in &topics {
            let filter = LogFilter {
                addresses: emitters.iter().map(|byte| Address::repeat_byte(*byte)).collect(),
                topics: wanted.iter().map(|any| any.iter().map(|byte| B256::repeat_byte(*byte)).collect()).collect(),
            };
            let scanned: Vec<_> = blocks[3..=50].iter().flat_map(|block| block.logs(&filter)).collect();
            found_any += usize::from(!scanned.is_empty());
            assert_eq!(archive.logs(3..=50, &filter, LIMITS).unwrap(), scanned, "{filter:?}");
        }
    }
    assert!(found_any > 5);
}

#[test]
fn a_held_missing_or_foreign_file_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive.redb");
    let _first = Archive::open(&path).unwrap();
    assert!(Archive::open(&path).err().unwrap().to_string().starts_with("archive failed: "));
    assert!(Archive::open(&directory.path().join("none/archive.redb")).is_err());
    let foreign = directory.path().join("foreign");
    std::fs::write(&foreign, vec![7; 5_000]).unwrap();
    assert!(Archive::open(&foreign).is_err());
}

fn header_of(block: &ArchivedBlock) -> ArchivedHeader {
    ArchivedHeader {
        hash: block.hash,
        ethereum_header: block.ethereum_header.clone(),
        header_bytes: block.header_bytes.clone(),
        certificate: block.certificate.clone(),
    }
}

#[test]
fn an_archive_that_begins_later_has_what_follows_and_says_what_it_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("archive.redb");
    let owned = |numbers: Range<u64>| numbers.map(|number| block(number, 1).as_ref().clone());
    let beginning = Beginning {
        genesis: owned(0..1).next().unwrap(),
        ancestors: owned(30..40).map(|each| header_of(&each)).collect(),
        blocks: owned(40..42).collect(),
    };
    Archive::begin(&path, &beginning).unwrap();
    assert!(Archive::begin(&path, &beginning).is_err(), "there is one already");
    for round in 0..2 {
        let archive = Archive::open(&path).unwrap();
        assert_eq!(archive.first(), 40);
        assert_eq!(archive.head().unwrap().number(), 41 + round);
        assert!(matches!(archive.append(block(90, 1)), Err(ArchiveError::Gap { .. })));
        archive.append(block(42 + round, 1)).unwrap();
        assert_eq!(archive.block(0).unwrap().unwrap(), block(0, 1));
        assert_eq!(archive.block(40).unwrap().unwrap(), block(40, 1));
        assert_eq!(archive.hash(35).unwrap(), Some(block(35, 1).hash), "for BLOCKHASH");
        assert!(archive.block(100).unwrap().is_none());
        for number in [1, 35, 39] {
            let refused = archive.block(number).unwrap_err().to_string();
            assert!(refused.contains("started at block 40"), "{refused}");
            assert!(matches!(archive.receipts(number), Err(ArchiveError::Pruned { .. })));
        }
        assert!(matches!(archive.header(29), Err(ArchiveError::Pruned { number: 29, first: 40 })));
        let filter = LogFilter::default();
        assert!(matches!(archive.logs(0..=50, &filter, LIMITS), Err(ArchiveError::Pruned { .. })));
        assert_eq!(archive.logs(40..=50, &filter, LIMITS).unwrap().len(), 3 + usize::try_from(round).unwrap());
        let sent = block(41, 1).transactions[0].hash();
        assert_eq!(archive.transaction(&sent).unwrap().unwrap().0.number(), 41);
    }
}
