// Permits shared by all tabs: a browser opens six connections to a host (HTTP/1.1), for all its tabs
// together. One is for the events, three are for logs that are followed, and two are left for calls.
// A permit is a Web Lock: the browser gives it back when its tab is closed or has crashed.

export const LOG_STREAMS = 3;

/** Whether tabs can share at all; not so on a page that came over plain HTTP from another host. */
export const canShare = () => Boolean(navigator.locks);

/** Do the work with one of the permits; return false when none is free. */
export async function withPermit(name, count, work) {
  if (!canShare()) return false;
  for (let number = 1; number <= count; number += 1) {
    const done = await navigator.locks.request(`${name}-${number}`, { ifAvailable: true }, async (lock) => {
      if (lock) await work();
      return Boolean(lock);
    });
    if (done) return true;
  }
  return false;
}

/** Do the work as the only tab that does; the others wait until it is gone. */
export const asLeader = (name, work) => navigator.locks.request(name, work);
