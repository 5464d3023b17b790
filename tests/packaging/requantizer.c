/*
 * Compare the requantizer with its definition (see jrequant.h): coefficients
 * of every size for the steps of TABLES random tables, and every product of a
 * coefficient and each STRIDE-th fraction.
 *   requantizer TABLES STRIDE
 */

#include <stdio.h>
#include <stdlib.h>
#include <jpeglib.h>
#include <jrequant.h>

static jpeg_requantizer requantizer;
static jpeg_requantize_method method;
static unsigned long long seed = 1;

static unsigned int draw(unsigned int bits)
{
  seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned int)(seed >> 33) >> (31 - bits);
}

/* Mostly steps as files have them, but also the largest ones */
static unsigned int draw_step(unsigned int bits)
{
  return draw(1 + draw(8) % bits);
}

static int defined(int k, unsigned int q, unsigned int d, int is_dc)
{
  long long size = (2LL * abs(k) * q + d) / (2LL * d), most = 32767 / d;
  long long limit = is_dc && k < 0 ? 1024 : 1023;

  limit = limit < most ? limit : most;
  size = size < limit ? size : limit;
  return (int)(k < 0 ? -size : size);
}

/* Re-quantize a block and compare it with what is expected */
static void check(const JCOEF *block, const JCOEF *expected)
{
  JCOEF out[DCTSIZE2];
  boolean any = (*method)(&requantizer, block, out), some = FALSE;
  int i;

  for (i = 0; i < DCTSIZE2; i++) {
    some |= i > 0 && expected[i] != 0;
    if (out[i] != expected[i]) {
      printf("coefficient %d: k = %d, %u onto %u: %d instead of %d\n", i,
             block[i], requantizer.from[i], requantizer.to[i], out[i],
             expected[i]);
      exit(1);
    }
  }
  if (any != some) {
    printf("the method returns %d instead of %d\n", any, some);
    exit(1);
  }
}

static void compare_block(const JCOEF *block)
{
  JCOEF expected[DCTSIZE2];
  int i;

  for (i = 0; i < DCTSIZE2; i++)
    expected[i] = (JCOEF)defined(block[i], requantizer.from[i],
                                 requantizer.to[i], i == 0);
  check(block, expected);
}

/* Steps of up to that many bits: with large ones, most blocks are divided. */
static void compare_with_definition(unsigned int bits)
{
  UINT16 from[DCTSIZE2], to[DCTSIZE2];
  JCOEF block[DCTSIZE2];
  int i, j, k;

  for (i = 0; i < DCTSIZE2; i++) {
    from[i] = (UINT16)draw_step(bits);
    to[i] = (UINT16)draw_step(bits < 15 ? bits : 15);
    to[i] += to[i] == 0;
  }
  jpeg_init_requantizer(&requantizer, from, to);
  for (k = -32768; k < 32768; k++) { /* in all places at once */
    for (i = 0; i < DCTSIZE2; i++)
      block[i] = (JCOEF)k;
    compare_block(block);
  }
  for (i = 0; i < DCTSIZE2;
       i++) { /* in one place, with little or nothing else */
    for (k = -2048; k < 2048; k++) {
      for (j = 0; j < DCTSIZE2; j++)
        block[j] = (JCOEF)(k & 1 ? (int)draw(3) - 4 : 0);
      block[i] = (JCOEF)k;
      compare_block(block);
    }
  }
}

/* |k| <= 2047 is what a block has that needs no division. */
static void compare_products(int fraction)
{
  JCOEF block[DCTSIZE2], expected[DCTSIZE2];
  int i, k;

  for (i = 0; i < DCTSIZE2; i++) {
    requantizer.fraction[i] = (JCOEF)fraction;
    requantizer.whole[i] = (JCOEF)draw(16);
  }
  for (k = -2047; k <= 2047; k += DCTSIZE2) {
    for (i = 0; i < DCTSIZE2; i++) {
      block[i] = (JCOEF)(k + i <= 2047 ? k + i : 2047);
      expected[i] = (JCOEF)(block[i] * requantizer.whole[i] +
                            ((block[i] * fraction + 0x4000) >> 15));
    }
    check(block, expected);
  }
}

int main(int argc, char **argv)
{
  int tables = argc == 3 ? atoi(argv[1]) : 0, stride, i;

  stride = argc == 3 ? atoi(argv[2]) : 0;
  if (tables < 1 || stride < 1)
    return 2;
  method = jpeg_get_requantize_method();
  for (i = 0; i < tables; i++)
    compare_with_definition(i % 2 ? 16 : 8);
  for (i = 0; i < 16; i++)
    requantizer.large[i] = (UINT16)~2047;
  requantizer.all_fine = 0;
  for (i = 0; i < 32768; i += stride)
    compare_products(i);
  printf("the requantizer is as defined\n");
  return 0;
}
