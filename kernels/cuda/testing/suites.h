// Every check and bench there is. A new kernel adds its functions here, a line in checks_test.cc and a line
// in main.cc; nothing registers itself.
#pragma once

#include "kernels/cuda/testing/checker.h"

namespace quire::kernels::cuda {

class Bench;  // bench.h, under nvcc alone

void CheckRows(Checker& checker);  // embedding, norm, SiLU, sampled ids
void BenchRows(Bench& bench);
void CheckRope(Checker& checker);  // RoPE and the write into pages
void BenchRope(Bench& bench);
void CheckAttention(Checker& checker);
void CheckAttentionProducts(Checker& checker);
void CheckLongAttention(Checker& checker);  // on a GPU alone
void BenchAttention(Bench& bench);

}  // namespace quire::kernels::cuda
