import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPoll, INTERVAL } from './poll';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('createPoll', () => {
  it('asks at once and then at its pace', async () => {
    let asked = 0;
    const poll = createPoll(async () => ++asked);
    poll.run(true);
    await vi.advanceTimersByTimeAsync(3 * INTERVAL);
    expect(poll.answer.value).toBe(4);
  });

  it('slows down while it fails, keeps the last answer, and says when it is back', async () => {
    let up = true;
    let asked = 0;
    const poll = createPoll(async () => {
      asked += 1;
      if (!up) throw new Error('gone');
      return 'answer';
    });
    poll.run(true);
    await vi.advanceTimersByTimeAsync(0);
    up = false;
    await vi.advanceTimersByTimeAsync(INTERVAL);
    expect(poll.error.value?.message).toBe('gone');
    expect(poll.answer.value).toBe('answer');
    const before = asked;
    await vi.advanceTimersByTimeAsync(INTERVAL);
    expect(asked).toBe(before);
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    expect(asked - before).toBeLessThan(30);
    up = true;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(poll.error.value).toBeNull();
    expect(poll.recoveries.value).toBe(1);
  });

  it('is silent while it is off, and aborts what is under way', async () => {
    const signals: AbortSignal[] = [];
    const poll = createPoll((signal) => {
      signals.push(signal);
      return new Promise<never>(() => {});
    });
    poll.run(true);
    poll.run(false);
    await vi.advanceTimersByTimeAsync(10 * INTERVAL);
    expect(signals).toHaveLength(1);
    expect(signals[0]?.aborted).toBe(true);
  });

  it('answers a refresh even while it is off, once', async () => {
    let asked = 0;
    const poll = createPoll(async () => ++asked);
    poll.refresh();
    await vi.advanceTimersByTimeAsync(10 * INTERVAL);
    expect(poll.answer.value).toBe(1);
  });
});
