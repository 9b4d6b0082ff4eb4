import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import { type Account, type Document, type Hex, type Proof, bytes, read } from './document.js'
import { ProofError } from './error.js'
import { type Item, decode } from './rlp.js'

/** What was asked, and the block hash that is trusted. */
export interface Question {
  blockHash: string
  address: string
  slots: readonly bigint[]
}

/** What an answer shows. */
export interface Shown {
  blockNumber: bigint
  stateRoot: Hex
  /** `null` when there is none. */
  account: Account | null
  /** The values of the slots, in the order of the question; 0 for those that are not set. */
  values: bigint[]
}

const HEADER_VERSION = 1
const [NUMBER, SHARDS] = [3, 10]
const NOTHING = new Uint8Array(32)

const prefixed = (bytes: Uint8Array): Hex => `0x${bytesToHex(bytes)}`
const word = (value: bigint, length = 32): Uint8Array => bytes(`0x${value.toString(16).padStart(2 * length, '0')}`)
const same = (left: Uint8Array, right: Uint8Array): boolean => left.every((byte, index) => byte === right[index])
const bit = (path: Uint8Array, depth: number): number => ((path[depth >> 3] ?? 0) >> (7 - (depth & 7))) & 1

/** Whether `root` commits to the value whose hash is `valueHash` under `path`; `null` stands for absence. */
function holds(root: Uint8Array, path: Uint8Array, valueHash: Uint8Array | null, { siblings, leaf }: Proof): boolean {
  if (leaf !== null && siblings.some((_, depth) => bit(leaf.path, depth) !== bit(path, depth))) return false
  let hash = leaf === null ? NOTHING : sha256(concatBytes(Uint8Array.of(0), leaf.path, leaf.valueHash))
  for (const [depth, sibling] of [...siblings.entries()].reverse()) {
    const [left, right] = bit(path, depth) ? [sibling, hash] : [hash, sibling]
    hash = sha256(concatBytes(Uint8Array.of(1), left, right))
  }
  if (!same(hash, root)) return false
  const found = leaf !== null && same(leaf.path, path) ? leaf.valueHash : null
  return found === null || valueHash === null ? found === valueHash : same(found, valueHash)
}

function integer(item: Item | undefined): bigint {
  if (!(item instanceof Uint8Array) || item.length > 8) throw new RangeError('a number is not one')
  return item.length === 0 ? 0n : BigInt(prefixed(item))
}

function headerFields(header: Uint8Array): { version: bigint; number: bigint; roots: Uint8Array[] } {
  const fields = decode(header)
  if (!Array.isArray(fields)) throw new RangeError('it is not a list')
  const shards = fields[SHARDS]
  if (!Array.isArray(shards)) throw new RangeError('it has no shards')
  const roots = shards.map((shard) => {
    const root = Array.isArray(shard) ? shard[0] : undefined
    if (!(root instanceof Uint8Array) || root.length !== 32) throw new RangeError('a shard has no state root')
    return root
  })
  return { version: integer(fields[0]), number: integer(fields[NUMBER]), roots }
}

function stateRoot(document: Document, trusted: string): Uint8Array {
  const fail = (reason: string): never => {
    throw new ProofError('header', reason)
  }
  const hash = prefixed(keccak_256(document.headerBytes))
  if (hash !== trusted || document.blockHash !== trusted) fail(`it is of block ${hash}, not of ${trusted}`)
  let header
  try {
    header = headerFields(document.headerBytes)
  } catch (error) {
    return fail((error as Error).message)
  }
  if (header.version !== BigInt(HEADER_VERSION)) fail(`version ${header.version} is unknown`)
  if (header.number !== document.blockNumber) fail(`it is of block ${header.number}, not ${document.blockNumber}`)
  const [root, ...others] = header.roots
  return root === undefined || others.length > 0 ? fail(`it has ${header.roots.length} shards, not one`) : root
}

function accountValue({ nonce, balance, codeHash }: Account): Uint8Array {
  return concatBytes(word(nonce, 8), word(balance), bytes(codeHash))
}

/**
 * Checks an answer to `candela_getProof` with nothing but a block hash that is trusted.
 *
 * @param answer The `result` of the request, from anybody.
 * @throws ProofError when it does not show what it claims, or does not answer the question.
 */
export function verify(answer: unknown, question: Question): Shown {
  const document = read(answer)
  const slots = document.storageProof.map(({ slot }) => slot)
  const answers = slots.length === question.slots.length && slots.every((slot, at) => slot === question.slots[at])
  if (!answers || document.address !== question.address.toLowerCase()) {
    throw new ProofError('document', 'it does not answer what was asked')
  }
  const root = stateRoot(document, question.blockHash.toLowerCase())
  const { account, accountProof, storageProof } = document
  const address = bytes(document.address)
  if (!holds(root, sha256(address), account && sha256(accountValue(account)), accountProof)) {
    throw new ProofError('account', 'its proof does not lead to the state root')
  }
  for (const { slot, value, proof } of storageProof) {
    const path = sha256(concatBytes(address, word(slot)))
    if (!holds(root, path, value === 0n ? null : sha256(word(value)), proof)) {
      throw new ProofError('slot', `the proof of slot ${slot} does not lead to the state root`)
    }
  }
  const values = storageProof.map(({ value }) => value)
  return { blockNumber: document.blockNumber, stateRoot: prefixed(root), account, values }
}
