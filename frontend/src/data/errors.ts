/** What can go wrong between the tab and the server, in words that a reader can act on. */
export type ErrorKind =
  | 'bad_argument'
  | 'not_found'
  | 'unreadable'
  | 'internal'
  /** No answer: the server is gone or the network is. */
  | 'unreachable'
  /** An answer that is not what docs/http-api.md says. */
  | 'malformed';

export class DataError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string) {
    super(message);
    this.name = 'DataError';
    this.kind = kind;
  }
}

/** Any thrown value as a DataError, so that views have one thing to show. */
export function asDataError(reason: unknown): DataError {
  if (reason instanceof DataError) return reason;
  return new DataError('malformed', reason instanceof Error ? reason.message : String(reason));
}
