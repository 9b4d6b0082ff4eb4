import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type Part, ProofError, type Question, verify } from '../src/index.js'

interface Case {
  name: string
  blockHash: string
  address: string
  slots: string[]
  document: any
  refused?: Part
  shown?: { account: { nonce: string; balance: string; codeHash: string } | null; values: string[] }
}

const file = new URL('../../../../vectors/state_proofs.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: Case[] }
const honest = cases.filter((each) => each.shown)
const question = ({ blockHash, address, slots }: Case): Question => ({ blockHash, address, slots: slots.map(BigInt) })

/** What `document` shows, or the error; anything but a `ProofError` ends the test. */
function outcome(document: unknown, asked: Question): unknown {
  try {
    return verify(document, asked)
  } catch (error) {
    if (error instanceof ProofError) return error
    throw error
  }
}

/** Every place below `value`, as the object that holds it and its key there. */
function* places(value: any): Generator<[any, string | number]> {
  if (typeof value !== 'object' || value === null) return
  for (const key of Object.keys(value)) {
    yield [value, key]
    yield* places(value[key])
  }
}

describe('vectors', () => {
  for (const each of cases) {
    test(each.name, () => {
      if (each.shown === undefined) {
        assert.throws(() => verify(each.document, question(each)), (error) => {
          assert.ok(error instanceof ProofError, String(error))
          assert.equal(error.part, each.refused)
          return true
        })
        return
      }
      const { account, values } = verify(each.document, question(each))
      const expected = each.shown.account
      assert.deepEqual(
        account,
        expected && { ...expected, nonce: BigInt(expected.nonce), balance: BigInt(expected.balance) },
      )
      assert.deepEqual(values, each.shown.values.map(BigInt))
    })
  }
})

describe('changes', () => {
  test('no changed digit passes', () => {
    let changed = 0
    for (const each of honest) {
      const asked = question(each)
      const document = structuredClone(each.document)
      delete document.certificate
      for (const [holder, key] of [...places(document)]) {
        const text = holder[key]
        if (typeof text !== 'string') continue
        // Each digit of short texts, and every seventh of the header.
        for (let at = 0; at < text.length; at += text.length > 200 ? 7 : 1) {
          const digit = text[at] === '1' ? '2' : '1'
          holder[key] = text.slice(0, at) + digit + text.slice(at + 1)
          assert.ok(outcome(document, asked) instanceof ProofError, `${each.name}: ${key} as ${holder[key]}`)
          changed += 1
        }
        holder[key] = text
      }
    }
    assert.ok(changed > 10_000, `${changed} digits were changed`)
  })

  test('whatever stands in a place, the answer is refused or shows the same', () => {
    const strange = [null, true, 0, -1, 1e300, '', '0x', '0xzz', `0x${'f'.repeat(100_000)}`, [], {}, [[]], '\u0000']
    for (const each of honest) {
      const asked = question(each)
      const before = outcome(each.document, asked)
      const document = structuredClone(each.document)
      for (const [holder, key] of [...places(document)]) {
        const original = holder[key]
        for (const value of strange) {
          holder[key] = value
          const found = outcome(document, asked)
          if (!(found instanceof ProofError)) assert.deepEqual(found, before, `${each.name}: ${key} as ${value}`)
        }
        holder[key] = original
      }
    }
    for (const value of strange) assert.ok(outcome(value, question(honest[0]!)) instanceof ProofError)
  })
})
