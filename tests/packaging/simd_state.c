/*
 * Two threads ask at the same time whether SIMD code may be used, as two that
 * start to decompress do.  ThreadSanitizer reports if they race.
 */

#include <pthread.h>

extern int jsimd_can_rgb_ycc(void);

unsigned int jpeg_simd_cpu_support(void) /* for x86: SSE2 and AVX2 */
{
  return 0x88;
}

static void *ask(void *answer)
{
  *(int *)answer = jsimd_can_rgb_ycc();
  return answer;
}

int main(void)
{
  pthread_t threads[2];
  int answers[2], i;

  for (i = 0; i < 2; i++)
    pthread_create(&threads[i], NULL, ask, &answers[i]);
  for (i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  return answers[0] != answers[1];
}
