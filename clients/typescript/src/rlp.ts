/** A byte string, or a list of items. */
export type Item = Uint8Array | Item[]

const MAX_DEPTH = 16

/**
 * The item that `data` encodes, canonically and without anything after it.
 *
 * @throws RangeError when it is malformed.
 */
export function decode(data: Uint8Array): Item {
  const [item, end] = read(data, 0, data.length, 0)
  if (end !== data.length) throw new RangeError('bytes follow the item')
  return item
}

function read(data: Uint8Array, at: number, limit: number, depth: number): [Item, number] {
  const first = data[at]
  if (first === undefined || at >= limit || depth > MAX_DEPTH) throw new RangeError('truncated or nested too deeply')
  if (first < 0x80) return [data.subarray(at, at + 1), at + 1]
  const isList = first >= 0xc0
  const [start, end] = payload(data, at, limit, first - (isList ? 0xc0 : 0x80))
  if (!isList) {
    const only = end - start === 1 ? data[start] : undefined
    if (only !== undefined && only < 0x80) throw new RangeError('a single byte is not written as itself')
    return [data.subarray(start, end), end]
  }
  const items: Item[] = []
  for (let next = start; next < end; ) {
    const [item, after] = read(data, next, end, depth + 1)
    items.push(item)
    next = after
  }
  return [items, end]
}

function payload(data: Uint8Array, at: number, limit: number, short: number): [number, number] {
  let start = at + 1
  let length = short
  if (short > 55) {
    const digits = data.subarray(start, start + short - 55)
    length = digits.reduce((value, digit) => value * 256 + digit, 0)
    const shortest = digits.length === short - 55 && digits[0] !== 0 && length > 55
    if (!shortest) throw new RangeError('a length is not written in its shortest form')
    start += short - 55
  }
  if (start + length > limit) throw new RangeError('an item is longer than what contains it')
  return [start, start + length]
}
