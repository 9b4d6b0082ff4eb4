import { hexToBytes } from '@noble/hashes/utils.js'
import { ProofError } from './error.js'

/** Lower-case hex digits after `0x`. */
export type Hex = `0x${string}`

/** An account without its storage. */
export interface Account {
  nonce: bigint
  /** In nit. */
  balance: bigint
  codeHash: Hex
}

/** The way from a state root to where a key is, or would be. */
export interface Proof {
  /** Hashes beside the way, from the root down. */
  siblings: Uint8Array[]
  /** The leaf at the end of the way, if there is one. */
  leaf: { path: Uint8Array; valueHash: Uint8Array } | null
}

/** An answer to `candela_getProof`, well-formed and not yet checked. */
export interface Document {
  blockHash: Hex
  blockNumber: bigint
  headerBytes: Uint8Array
  address: Hex
  account: Account | null
  accountProof: Proof
  storageProof: { slot: bigint; value: bigint; proof: Proof }[]
}

const MAX_HEADER_BYTES = 1 << 16
const MAX_SIBLINGS = 256
const MAX_SLOTS = 64

function malformed(name: string, wanted: string): never {
  throw new ProofError('document', `${name} is not ${wanted}`)
}

function members(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) malformed(name, 'an object')
  return value as Record<string, unknown>
}

function list(value: unknown, name: string, most: number): unknown[] {
  if (!Array.isArray(value) || value.length > most) malformed(name, `a list of at most ${most}`)
  return value
}

function hex(value: unknown, name: string, most: number): Hex {
  const canonical = typeof value === 'string' && value.length <= 2 + 2 * most && /^0x(?:[0-9a-f]{2})*$/.test(value)
  return canonical ? (value as Hex) : malformed(name, `lower-case hex of at most ${most} bytes`)
}

function fixed(value: unknown, name: string, length: number): Hex {
  const text = hex(value, name, length)
  return text.length === 2 + 2 * length ? text : malformed(name, `${length} bytes`)
}

function quantity(value: unknown, name: string, bits: number): bigint {
  const digits = bits / 4
  const canonical =
    typeof value === 'string' && value.length <= 2 + digits && /^0x(?:0|[1-9a-f][0-9a-f]*)$/.test(value)
  return canonical ? BigInt(value) : malformed(name, `a number of at most ${bits} bits`)
}

/** The bytes of a checked hex string. */
export const bytes = (text: Hex): Uint8Array => hexToBytes(text.slice(2))

const hash = (value: unknown, name: string): Uint8Array => bytes(fixed(value, name, 32))

function readAccount(value: unknown): Account | null {
  if (value === null) return null
  const account = members(value, 'account')
  return {
    nonce: quantity(account['nonce'], 'nonce', 64),
    balance: quantity(account['balance'], 'balance', 256),
    codeHash: fixed(account['codeHash'], 'codeHash', 32),
  }
}

function readProof(value: unknown, name: string): Proof {
  const proof = members(value, name)
  const siblings = list(proof['siblings'], `${name}: siblings`, MAX_SIBLINGS).map((each) => hash(each, 'a sibling'))
  if (proof['leaf'] === null) return { siblings, leaf: null }
  const leaf = members(proof['leaf'], `${name}: leaf`)
  return { siblings, leaf: { path: hash(leaf['path'], 'path'), valueHash: hash(leaf['valueHash'], 'valueHash') } }
}

function readSlot(value: unknown): Document['storageProof'][number] {
  const entry = members(value, 'a member of storageProof')
  return {
    slot: BigInt(fixed(entry['slot'], 'slot', 32)),
    value: BigInt(fixed(entry['value'], 'value', 32)),
    proof: readProof(entry['proof'], 'proof'),
  }
}

/**
 * Reads an answer that may come from anybody.
 *
 * @throws ProofError when it is malformed.
 */
export function read(value: unknown): Document {
  const answer = members(value, 'the answer')
  return {
    blockHash: fixed(answer['blockHash'], 'blockHash', 32),
    blockNumber: quantity(answer['blockNumber'], 'blockNumber', 64),
    headerBytes: bytes(hex(answer['headerBytes'], 'headerBytes', MAX_HEADER_BYTES)),
    address: fixed(answer['address'], 'address', 20),
    account: readAccount(answer['account']),
    accountProof: readProof(answer['accountProof'], 'accountProof'),
    storageProof: list(answer['storageProof'], 'storageProof', MAX_SLOTS).map(readSlot),
  }
}
