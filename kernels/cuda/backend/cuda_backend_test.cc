// Every op of the CUDA backend, on fibers, against the fp64 reference. What the kernels compute over ugly
// shapes is checked beside them (kernels/cuda/testing); here it is that each op hands them the right things.
#include "kernels/cuda/backend/cuda_backend.h"

#include <gtest/gtest.h>

#include "kernels/reference/reference_backend.h"
#include "kernels/sampling/sampler.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cuda {
namespace {

constexpr DeviceSize kDevice{2, kSharedBytesSm80};

std::unique_ptr<Backend> MakeFibers() {
  return MakeCudaBackend(std::make_unique<Stream>(1, kDevice), std::make_unique<SkinnyGemms>(kDevice),
                         "fibers");
}

class CudaBackendTest : public testing::Test {
 protected:
  // The same on both; [0] is the fibers'.
  template <typename Body>
  void OnBoth(const Body& body) {
    for (const int i : {0, 1}) {
      results_[i] = body(i == 0 ? *cuda_ : *reference_);
    }
    EXPECT_EQ(cuda_->Finish(), absl::OkStatus());
  }
  double Error() const { return RelativeError(results_[0], results_[1]); }

  std::unique_ptr<Backend> cuda_ = MakeFibers(), reference_ = MakeReferenceBackend();
  std::vector<float> results_[2];
};

TEST_F(CudaBackendTest, MatmulIsTheReferences) {
  struct Shape {
    int64_t m, n, k, leaves;
    bool bias;
  };
  for (const auto& [m, n, k, leaves, bias] : {Shape{1, 40, 64, 1, true},
                                              {3, 33, 72, 1, false},
                                              {35, 24, 256, 8, true},
                                              {2, 17, 128, 4, false},
                                              {5, 16, 64, 2, true}}) {
    SCOPED_TRACE(testing::Message() << "m " << m << " n " << n << " k " << k << " leaves " << leaves);
    const auto x = RandomBf16(m * k, 1), w = RandomBf16(n * k, 2);
    OnBoth([&, m = m, n = n, k = k, leaves = leaves, bias = bias](Backend& backend) {
      const MatrixId matrix = AddMatrix(backend, n, k, w, MatrixKind::kPlain, leaves);
      const VectorId vector = bias ? backend.AddVector(RandomFloats(n, 3)).value() : kNoBias;
      const Tensor out = NewF32(backend, m, n);
      backend.Matmul(NewBf16(backend, m, k, x), matrix, vector, out);
      return Values(out);
    });
    EXPECT_LT(Error(), 1e-6);
  }
}

TEST_F(CudaBackendTest, MatmulWritesTheColumnsOfAWiderTensor) {
  const auto x = RandomBf16(3 * 64, 1), w = RandomBf16(24 * 64, 2);
  const std::vector<float> before(3 * 48, 7);
  OnBoth([&](Backend& backend) {
    const Tensor out = NewF32(backend, 3, 48, before);
    backend.Matmul(NewBf16(backend, 3, 64, x), AddMatrix(backend, 24, 64, w), kNoBias, out.Columns(24));
    return Values(out);
  });
  EXPECT_LT(Error(), 1e-6);
  EXPECT_EQ(results_[0][24], 7);
}

TEST_F(CudaBackendTest, MatmulSiluMulIsTheReferencesWithinBf16Rounding) {
  for (const int64_t m : {1, 9, 4}) {
    const auto x = RandomBf16(m * 96, 1), w = RandomBf16(2 * 40 * 96, 2, 0.2f);
    OnBoth([&](Backend& backend) {
      const Tensor out = NewBf16(backend, m, 40);
      backend.MatmulSiluMul(NewBf16(backend, m, 96, x), AddMatrix(backend, 80, 96, w, MatrixKind::kGateUp),
                            out);
      return Values(out);
    });
    EXPECT_LT(Error(), 6e-3) << m;  // gate and up are rounded to bf16 before
  }
}

TEST_F(CudaBackendTest, NormsAreTheReferences) {
  for (const int64_t cols : {8, 72, 640}) {
    const auto x = RandomFloats(3 * cols, 1, 30), delta = RandomFloats(3 * cols, 2, 10);
    OnBoth([&](Backend& backend) {
      const VectorId weight = backend.AddVector(RandomFloats(cols, 3)).value();
      const Tensor sum = NewF32(backend, 3, cols, x), out = NewBf16(backend, 3, cols);
      const Tensor plain = NewBf16(backend, 3, cols);
      backend.AddRmsNorm(sum, NewF32(backend, 3, cols, delta), weight, 1e-5f, out);
      backend.RmsNorm(sum, weight, 1e-5f, plain);
      EXPECT_EQ(Bits(out), Bits(plain));
      std::vector<float> all = Values(sum);
      for (const float value : Values(out)) all.push_back(value);
      return all;
    });
    EXPECT_LT(Error(), 3e-3) << cols;
  }
}

TEST_F(CudaBackendTest, EmbedFindsItsRowsAndZeroesForeignOnes) {
  const std::vector<int32_t> ids = {99, 100, 103, 149, 150, 101};
  OnBoth([&](Backend& backend) {
    const MatrixId table = AddMatrix(backend, 50, 24, RandomBf16(50 * 24, 4));
    BeginTestStep(backend, {.ids = ids, .sequences = {}, .wanted_rows = {}});
    const Tensor out = NewF32(backend, std::ssize(ids), 24);
    backend.Embed(table, 100, out);
    return Values(out);
  });
  EXPECT_EQ(results_[0], results_[1]);
}

TEST_F(CudaBackendTest, GatherWantedCopiesEitherType) {
  const std::vector<int64_t> rows = {0, 3, 3, 4};
  OnBoth([&](Backend& backend) {
    BeginTestStep(backend, {.ids = std::vector<int32_t>(5), .sequences = {}, .wanted_rows = rows});
    const Tensor out = NewF32(backend, 4, 21), out16 = NewBf16(backend, 4, 21);
    backend.GatherWanted(NewF32(backend, 5, 21, RandomFloats(5 * 21, 1)), out);
    backend.GatherWanted(NewBf16(backend, 5, 21, RandomBf16(5 * 21, 2)), out16);
    std::vector<float> all = Values(out);
    for (const float value : Values(out16)) all.push_back(value);
    return all;
  });
  EXPECT_EQ(results_[0], results_[1]);
}

TEST_F(CudaBackendTest, AttentionIsTheReferencesInAnyChunks) {
  for (const auto& [query, kv, dim, normed] :
       {std::tuple{5, 1, 64, false}, {6, 2, 128, true}, {10, 2, 64, true}}) {
    SCOPED_TRACE(testing::Message() << "dim " << dim << " heads " << query << "/" << kv);
    const KvShape shape{.kv_heads = kv, .head_dim = dim, .query_heads = query};
    std::string whole;
    for (const int64_t chunk : {37, 9, 1}) {
      const std::unique_ptr<Backend> cuda = MakeFibers();
      AttentionRun got(*cuda, shape, 37, normed);
      got.InChunks(chunk);
      EXPECT_EQ(cuda->Finish(), absl::OkStatus());
      if (chunk != 37) {
        EXPECT_EQ(Bits(got.out()), whole) << "chunks of " << chunk;
        continue;
      }
      whole = Bits(got.out());
      const std::unique_ptr<Backend> reference = MakeReferenceBackend();
      AttentionRun want(*reference, shape, 37, normed);
      want.InChunks(37);
      EXPECT_LT(RelativeError(Values(got.q()), Values(want.q())), 1e-4);
      EXPECT_LT(RelativeError(Values(got.out()), Values(want.out())), 4e-3);
    }
  }
}

TEST_F(CudaBackendTest, ACopiedBlockIsReadAsTheFirstWas) {
  AttentionRun run(*cuda_, {.kv_heads = 2, .head_dim = 64, .query_heads = 6}, 43);
  run.InChunks(43);
  const std::string bits = Bits(run.out());
  run.MoveLastBlock(43);
  run.Chunk(41, 2);
  EXPECT_EQ(Bits(run.out()), bits);
  run.MoveLastBlock(32);
  run.Chunk(41, 2);
  EXPECT_EQ(Bits(run.out()), bits);
}

// Two sequences with tables of their own in one step; the ropes of each.
TEST_F(CudaBackendTest, EachSequenceHasItsRope) {
  const std::vector<int32_t> blocks[] = {{2}, {0}};
  OnBoth([&](Backend& backend) {
    std::vector<RopeId> ropes;
    for (const double frequency : {0.5, 0.01}) {
      ropes.push_back(backend.AddRope(std::vector<double>(32, frequency), 1.25, 20).value());
    }
    EXPECT_TRUE(
        backend.CreateKvCache({.layers = 1, .blocks = 3, .kv_heads = 1, .head_dim = 64, .query_heads = 2})
            .ok());
    const SequenceRows rows[] = {
        {.first_row = 0, .rows = 3, .position = 4, .blocks = blocks[0], .rope = ropes[1]},
        {.first_row = 3, .rows = 2, .position = 0, .blocks = blocks[1], .rope = ropes[0]}};
    BeginTestStep(backend, rows);
    const Tensor q = NewBf16(backend, 5, 2 * 64);
    backend.RopeAndStore(NewF32(backend, 5, 4 * 64, RandomFloats(5 * 4 * 64, 1)), 0, {}, q);
    return Values(q);
  });
  EXPECT_LT(Error(), 1e-3);  // of 640 values a few are rounded to bf16 the other way
}

// Run as it is, then captured, then replayed on what the next step brings: ops are called twice.
TEST_F(CudaBackendTest, AStepIsCapturedWhereItComesAgain) {
  const MatrixId table = AddMatrix(*cuda_, 50, 24, RandomBf16(50 * 24, 4));
  ASSERT_TRUE(cuda_->ReserveStep({.tokens = 16, .wanted_rows = 4}).ok());
  const Tensor x = NewF32(*cuda_, 16, 24), out = NewF32(*cuda_, 4, 24);
  int issued = 0;
  for (int32_t step = 0; step < 6; ++step) {
    const std::vector<int32_t> ids(step == 4 ? 11 : 5, step);
    const std::vector<int64_t> wanted = {0, 4};
    const StepBucket bucket = cuda_->BeginStep({.ids = ids, .sequences = {}, .wanted_rows = wanted});
    EXPECT_EQ(bucket.tokens, step == 4 ? 16 : 8);
    EXPECT_EQ(bucket.wanted_rows, 2);
    ASSERT_TRUE(cuda_
                    ->Run(bucket,
                          [&] {
                            ++issued;
                            cuda_->Embed(table, 0, x.Rows(bucket.tokens));
                            cuda_->GatherWanted(x.Rows(bucket.tokens), out.Rows(bucket.wanted_rows));
                            return absl::OkStatus();
                          })
                    .ok());
    const float* rows = cuda_->ReadRows(out).value();
    const std::vector<float> first(rows, rows + 24), second(rows + out.stride, rows + out.stride + 24);
    EXPECT_EQ(first, second);
    OnBoth([&](Backend& backend) {
      if (&backend == cuda_.get()) return first;
      const MatrixId same = AddMatrix(backend, 50, 24, RandomBf16(50 * 24, 4));
      BeginTestStep(backend, {.ids = std::span(ids).first(1), .sequences = {}, .wanted_rows = {}});
      const Tensor one = NewF32(backend, 1, 24);
      backend.Embed(same, 0, one);
      return Values(one);
    });
    EXPECT_EQ(results_[0], results_[1]) << step;
  }
  EXPECT_EQ(issued, 3);  // of 8 rows twice, of 16 once
}

// What fills a step up writes to nobody's block: a sequence in the first one finds there what it wrote.
TEST_F(CudaBackendTest, RowsThatFillAStepUpTouchNobodysBlock) {
  const auto last_row = [](bool another_between) {
    const std::unique_ptr<Backend> backend = MakeFibers();
    const RopeId rope = backend->AddRope(std::vector<double>(32, 0.1), 1, 64).value();
    const KvShape shape{.layers = 1, .blocks = 2, .kv_heads = 1, .head_dim = 64, .query_heads = 1};
    EXPECT_TRUE(backend->CreateKvCache(shape).ok());
    EXPECT_TRUE(backend->ReserveStep({.tokens = 32, .sequences = 2, .table_blocks = 1}).ok());
    const Tensor qkv = NewF32(*backend, 8, 3 * 64, RandomFloats(8 * 3 * 64, 1));
    const Tensor q = NewBf16(*backend, 8, 64), out = NewBf16(*backend, 8, 64);
    const auto step = [&](int64_t rows, int64_t position, int32_t block) {
      const std::vector<int32_t> ids(rows, 1), blocks = {block};
      const SequenceRows sequence{
          .rows = rows, .position = position, .blocks = blocks, .rope = rope, .slot = block};
      const int64_t filled =
          backend->BeginStep({.ids = ids, .sequences = {&sequence, 1}, .wanted_rows = {}}).tokens;
      EXPECT_EQ(filled, rows == 5 ? 8 : rows);
      backend->RopeAndStore(qkv.Rows(filled), 0, {}, q.Rows(filled));
      backend->Attention(q.Rows(filled), 0, out.Rows(filled));
    };
    step(3, 0, 0);
    if (another_between) step(5, 0, 1);
    step(1, 3, 0);
    EXPECT_TRUE(backend->Finish().ok());
    return Bits(out, 0, 1);
  };
  EXPECT_EQ(last_row(true), last_row(false));
}

// An error from before a step's launches are captured is not taken for the capture's.
TEST_F(CudaBackendTest, ACaptureHidesNoError) {
  ASSERT_TRUE(cuda_->ReserveStep({.tokens = 8}).ok());
  const MatrixId table = AddMatrix(*cuda_, 4, 16, RandomBf16(4 * 16, 1));
  const Tensor x = NewF32(*cuda_, 8, 16), wide = NewF32(*cuda_, 1, 20480), out = NewBf16(*cuda_, 1, 20480);
  const VectorId weight = cuda_->AddVector(std::vector<float>(20480)).value();
  const std::vector<int32_t> ids = {1, 2};
  for (int step = 0; step < 2; ++step) {
    const StepBucket bucket = cuda_->BeginStep({.ids = ids, .sequences = {}, .wanted_rows = {}});
    if (step == 1) cuda_->RmsNorm(wide, weight, 1e-5f, out);
    const absl::Status ran = cuda_->Run(bucket, [&] {
      cuda_->Embed(table, 0, x.Rows(bucket.tokens));
      return absl::OkStatus();
    });
    EXPECT_EQ(ran.ok(), step == 0);
  }
  EXPECT_EQ(cuda_->Finish().code(), absl::StatusCode::kInternal);
}

using CudaBackendDeathTest = CudaBackendTest;
TEST_F(CudaBackendDeathTest, AStepAgainstItsContractStopsTheProcess) {
  const RopeId rope = cuda_->AddRope(std::vector<double>(32, 0.1), 1, 17).value();
  ASSERT_TRUE(
      cuda_->CreateKvCache({.layers = 1, .blocks = 2, .kv_heads = 1, .head_dim = 64, .query_heads = 1}).ok());
  ASSERT_TRUE(cuda_->ReserveStep({.tokens = 4, .sequences = 1, .table_blocks = 2}).ok());
  const auto begin = [&](int64_t position, std::vector<int32_t> blocks, RopeId of) {
    const std::vector<int32_t> ids(2, 1);
    const SequenceRows sequence{.rows = 2, .position = position, .blocks = blocks, .rope = of};
    cuda_->BeginStep({.ids = ids, .sequences = {&sequence, 1}, .wanted_rows = {}});
  };
  EXPECT_DEATH(begin(0, {2}, rope), "no such block");
  EXPECT_DEATH(begin(0, {-1}, rope), "no such block");
  EXPECT_DEATH(begin(0, {1}, RopeId{1}), "no such rope");
  EXPECT_DEATH(begin(16, {0, 1}, rope), "beyond the rope's table");
  begin(15, {0, 1}, rope);
  EXPECT_DEATH(cuda_->CopyBlocks(std::vector<BlockCopy>{{0, 2}}), "no such copy");
}

TEST_F(CudaBackendTest, SamplesEachRowAsTheSamplerAlone) {
  const int64_t rows = 5, ids = 300;
  const auto logits = RandomFloats(rows * (ids + 21), 3, 4);
  std::vector<SampleSpec> specs(rows);
  std::vector<const SampleSpec*> pointers;
  for (int64_t i = 0; i < rows; ++i) {
    specs[i].params = {.temperature = i == 0 ? 0.0f : 0.9f,
                       .top_k = i == 2 ? 20 : 0,
                       .top_p = i == 3 ? 0.9f : 1.0f,
                       .logprobs = i == 4};
    specs[i].position = static_cast<uint32_t>(i);
    pointers.push_back(&specs[i]);
  }
  ASSERT_TRUE(cuda_->ReserveStep({.wanted_rows = rows, .sampled_ids = ids}).ok());
  const Tensor x = NewF32(*cuda_, rows, ids + 21, logits);
  for (const int64_t count : {rows, int64_t{2}}) {
    cuda_->Sample(x.Rows(count), std::span(pointers).first(count), {});
    const auto tokens = *cuda_->ReadSampled();
    ASSERT_EQ(std::ssize(tokens), count);
    for (int64_t i = 0; i < count; ++i) {
      const SampledToken want = Sampler(ids).Sample(x.Row(i), specs[i]);
      EXPECT_EQ(tokens[i].id, want.id) << i;
      EXPECT_EQ(tokens[i].logprob, want.logprob) << i;
    }
  }
}

TEST_F(CudaBackendTest, PacksPartsAndColumnSlices) {
  const auto wide = RandomBf16(10 * 20, 1);
  const std::vector<int32_t> ids = {0, 1, 2, 3, 4, 5, 6};
  OnBoth([&](Backend& backend) {
    const HostMatrix parts[] = {{&wide[1 * 20 + 3], 2, 20}, {&wide[4 * 20 + 3], 5, 20}};
    const MatrixId matrix = backend.AddMatrix(parts, 16, MatrixKind::kPlain, 1).value();
    BeginTestStep(backend, {.ids = ids, .sequences = {}, .wanted_rows = {}});
    const Tensor out = NewF32(backend, 7, 16);
    backend.Embed(matrix, 0, out);
    return Values(out);
  });
  EXPECT_EQ(results_[0], results_[1]);
}

TEST_F(CudaBackendTest, SaysWhatAGpuHasNoKernelFor) {
  const auto message = [](const auto& result) {
    if constexpr (std::is_same_v<std::decay_t<decltype(result)>, absl::Status>) {
      return std::string(result.message());
    } else {
      return std::string(result.status().message());
    }
  };
  const std::vector<uint16_t> zeros(64 * 20);
  const HostMatrix odd{zeros.data(), 4, 20};
  EXPECT_NE(message(cuda_->AddMatrix({&odd, 1}, 20, MatrixKind::kPlain, 1)).find("--backend cpu"),
            std::string::npos);
  const Int8Rows int8 = QuantizeRows({zeros.data(), 4, 64}, 64, 32, 1).value();
  const HostMatrix quantized = int8.matrix();
  EXPECT_NE(message(cuda_->AddMatrix({&quantized, 1}, 64, MatrixKind::kPlain, 1)).find("--weights int8"),
            std::string::npos);
  EXPECT_NE(message(cuda_->CreateKvCache({1, 1, 1, 80, 1})).find("heads of 64 or 128, not of 80"),
            std::string::npos);
  ASSERT_TRUE(cuda_->CreateKvCache({1, 1, 1, 64, 1}).ok());
  EXPECT_FALSE(cuda_->CreateKvCache({1, 1, 1, 64, 1}).ok());
}

TEST_F(CudaBackendTest, WhatFailsOnTheDeviceIsSaidFromThenOn) {
  const MatrixId matrix = AddMatrix(*cuda_, 16, 64, RandomBf16(16 * 64, 1));
  const Tensor x = NewBf16(*cuda_, 1, 64), out = NewF32(*cuda_, 1, 16);
  cuda_->Matmul(x, matrix, kNoBias, out);
  EXPECT_EQ(cuda_->Finish(), absl::OkStatus());
  const VectorId weight = cuda_->AddVector(std::vector<float>(20480)).value();
  cuda_->RmsNorm(NewF32(*cuda_, 1, 20480), weight, 1e-5f, NewBf16(*cuda_, 1, 20480));
  EXPECT_EQ(cuda_->Finish().code(), absl::StatusCode::kInternal);
  cuda_->Matmul(x, matrix, kNoBias, out);
  EXPECT_EQ(cuda_->ReadRows(out).status().code(), absl::StatusCode::kInternal);
  cuda_->Sample({}, {}, {});
  EXPECT_FALSE(cuda_->ReadSampled().ok());
}

}  // namespace
}  // namespace quire::kernels::cuda
