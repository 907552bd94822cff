/**
 * Takes the time of operations: how many per second, and how long single ones took.
 *
 * What always holds: warm-up is not counted; every 8th operation of a loop is timed singly (all of them where one takes
 * long), which costs less than a hundredth of the fastest loop; the event loop's delay is Node's own histogram at a
 * resolution of a millisecond.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'

const SAMPLE_EVERY = 8

/** Times of single operations in microseconds. */
class Times {
  #values = []

  add(microseconds) {
    this.#values.push(microseconds)
  }

  /** The time that a share of all operations stayed below, in microseconds. */
  at(share) {
    if (this.#values.length === 0) return null
    const sorted = Float64Array.from(this.#values).sort()
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  }
}

/** Runs `body`, and gives what it answers together with the delays of the event loop meanwhile. */
async function watched(body) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const answer = await body()
  // The last delay is recorded by a timer that must get its turn.
  await new Promise((resolve) => setTimeout(resolve, 5))
  delay.disable()
  // The histogram holds the time between two ticks of a timer of one millisecond.
  return { ...answer, loop_delay_p99_ms: Math.max(0, delay.percentile(99) / 1e6 - 1) }
}

const result = (operations, seconds, times) => ({
  operations,
  ops_per_s: operations / seconds,
  p50_us: times.at(0.5),
  p99_us: times.at(0.99),
})

/**
 * Does `work(n)` for some time that nobody counts, for n from 0. Until the compiler has done its own, which takes some
 * 100,000 documents, reading one takes several times as long.
 */
export async function warm(ms, work) {
  const start = performance.now()
  for (let n = 0; performance.now() - start < ms; n++) await work(n)
}

/** `operation(i)` for i from 0, all on this thread, until `count` are done or `limitMs` is over. */
export function timeSync({ count, limitMs, operation }) {
  return watched(async () => {
    const times = new Times()
    const start = performance.now()
    let done = 0
    for (; done < count; done++) {
      if (done % SAMPLE_EVERY !== 0) {
        operation(done)
        continue
      }
      const before = performance.now()
      operation(done)
      const after = performance.now()
      times.add((after - before) * 1000)
      if (after - start > limitMs) break
    }
    return result(done, (performance.now() - start) / 1000, times)
  })
}

/** `await operation(i)` one after the other. */
export function timeAwaited({ count, limitMs, operation, every = SAMPLE_EVERY }) {
  return watched(async () => {
    const times = new Times()
    const start = performance.now()
    let done = 0
    for (; done < count; done++) {
      if (done % every !== 0) {
        await operation(done)
        continue
      }
      const before = performance.now()
      await operation(done)
      const after = performance.now()
      times.add((after - before) * 1000)
      if (after - start > limitMs) break
    }
    return result(done, (performance.now() - start) / 1000, times)
  })
}

/** `inFlight` loops of awaited operations at once, as the requests of a service come. */
export function timeConcurrent({ count, limitMs, inFlight, operation }) {
  return watched(async () => {
    const times = new Times()
    const start = performance.now()
    let next = 0
    let done = 0
    const client = async () => {
      while (next < count && performance.now() - start < limitMs) {
        const before = performance.now()
        await operation(next++)
        times.add((performance.now() - before) * 1000)
        done += 1
      }
    }
    await Promise.all(Array.from({ length: inFlight }, client))
    return result(done, (performance.now() - start) / 1000, times)
  })
}

/** One piece of work that handles `count` things, done `repeats` times; the rate is of things, the times are of a whole. */
export function timeWhole({ count, repeats, limitMs, work }) {
  return watched(async () => {
    const times = new Times()
    const start = performance.now()
    let done = 0
    for (; done < repeats; done++) {
      const before = performance.now()
      await work(done)
      times.add((performance.now() - before) * 1000)
      if (performance.now() - start > limitMs && done > 0) {
        done += 1
        break
      }
    }
    return result(done * count, (performance.now() - start) / 1000, times)
  })
}
