/*
 * work.c - see work.h.
 *
 * A pool may be busy: a helper may come late, or after the call is over.  So
 * the call takes steps itself, waits only for helpers that are at a step, and
 * never for those that have yet to come.  A pool whose threads all make such
 * calls cannot come to a stop.
 */

#include "work.h"

#include <pthread.h>
#include <stdlib.h>

struct pyfd_work {
  pthread_mutex_t mutex; /* of all that follows */
  pthread_cond_t idle;   /* nobody is at a step */
  void (*step)(void *steps, uint32_t i);
  void *steps; /* in the frame of the call, which waits for busy threads */
  uint32_t next, count;
  uint32_t busy;  /* threads at a step */
  uint32_t users; /* the call, and the helpers that were asked to come */
};

static pyfd_work *start(void (*step)(void *steps, uint32_t i), void *steps,
                        uint32_t count)
{
  pyfd_work *work = malloc(sizeof(*work));

  if (work == NULL)
    return NULL;
  if (pthread_mutex_init(&work->mutex, NULL) != 0) {
    free(work);
    return NULL;
  }
  if (pthread_cond_init(&work->idle, NULL) != 0) {
    pthread_mutex_destroy(&work->mutex);
    free(work);
    return NULL;
  }
  work->step = step;
  work->steps = steps;
  work->next = work->busy = 0;
  work->count = count;
  work->users = 1;
  return work;
}

/* Take steps until all are taken.  The mutex is locked, but not meanwhile. */
static void take_steps(pyfd_work *work)
{
  uint32_t i;

  while (work->next < work->count) {
    i = work->next++;
    work->busy++;
    pthread_mutex_unlock(&work->mutex);
    (*work->step)(work->steps, i);
    pthread_mutex_lock(&work->mutex);
    work->busy--;
  }
  if (work->busy == 0)
    pthread_cond_signal(&work->idle); /* only the call waits */
}

/* Unlock the mutex; the last user frees the memory. */
static void leave(pyfd_work *work)
{
  const uint32_t users = --work->users;

  pthread_mutex_unlock(&work->mutex);
  if (users > 0)
    return;
  pthread_cond_destroy(&work->idle);
  pthread_mutex_destroy(&work->mutex);
  free(work);
}

void pyfd_help(pyfd_work *work)
{
  pthread_mutex_lock(&work->mutex);
  take_steps(work);
  leave(work);
}

void pyfd_share_work(const pyfd_helpers *helpers, uint32_t workers,
                     void (*step)(void *steps, uint32_t i), void *steps,
                     uint32_t count)
{
  const uint32_t most = workers < count ? workers : count;
  pyfd_work *work = most > 1 ? start(step, steps, count) : NULL;
  uint32_t i;

  if (work == NULL) {
    for (i = 0; i < count; i++)
      (*step)(steps, i);
    return;
  }
  work->users += most - 1;
  (*helpers->ask)(helpers->pool, work, most - 1);
  pthread_mutex_lock(&work->mutex);
  take_steps(work);
  while (work->busy > 0)
    pthread_cond_wait(&work->idle, &work->mutex);
  leave(work);
}
