/** The part of an answer that does not hold. */
export type Part = 'document' | 'header' | 'account' | 'slot'

/** An answer does not show what it claims. */
export class ProofError extends Error {
  override readonly name = 'ProofError'

  constructor(
    readonly part: Part,
    reason: string,
  ) {
    super(`${part}: ${reason}`)
  }
}
