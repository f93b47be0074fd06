// What Backend::Run is promised: for equal buckets the model issues the same calls with the same arguments,
// whatever the step's tokens, sequences and positions are. A backend may replay what it captured once.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "absl/strings/str_cat.h"
#include "worker/engine/testing/plan_builder.h"
#include "worker/model/idle_backend.h"
#include "worker/model/test_checkpoint.h"
#include "worker/model/transformer_runner.h"

namespace quire::worker {
namespace {

using kernels::Tensor;

std::string Text(Tensor x) {
  return absl::StrCat(absl::Hex(reinterpret_cast<uintptr_t>(x.data)), " of ", x.rows, " x ", x.cols, " by ",
                      x.stride);
}

// Writes down what is called within Run; every buffer and weight is told apart.
class RecordingBackend final : public IdleBackend {
 public:
  absl::StatusOr<Tensor> Allocate(kernels::DType dtype, int64_t rows, int64_t cols) override {
    return Tensor{&buffers_.emplace_back(), dtype, rows, cols, cols};
  }
  absl::StatusOr<MatrixId> AddMatrix(std::span<const kernels::HostMatrix>, int64_t, kernels::MatrixKind,
                                     int64_t) override {
    return MatrixId{next_++};
  }
  absl::StatusOr<VectorId> AddVector(std::span<const float>) override { return VectorId{next_++}; }
  absl::Status PrepareMatmuls(std::span<const kernels::StepMatmul> matmuls) override {
    for (const auto& [matrix, x, out] : matmuls) prepared.push_back({Shape(x, out), x.rows, out.rows});
    return absl::OkStatus();
  }
  kernels::StepBucket BeginStep(const kernels::StepInputs& inputs) override {
    return {std::ssize(inputs.ids), std::ssize(inputs.wanted_rows)};
  }
  absl::Status Run(const kernels::StepBucket&, absl::FunctionRef<absl::Status()> ops) override {
    calls.clear();
    return ops();
  }
  void Embed(MatrixId table, int64_t first_row, Tensor out) override {
    Add("Embed", table, first_row, Text(out));
  }
  void RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) override {
    Add("RmsNorm", Text(x), weight, eps, Text(out));
  }
  void AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) override {
    Add("AddRmsNorm", Text(x), Text(delta), weight, eps, Text(out));
  }
  void Matmul(Tensor x, MatrixId matrix, VectorId bias, Tensor out) override {
    Add("Matmul", Text(x), matrix, bias, Text(out));
    multiplied.push_back({Shape(x, out), x.rows, out.rows});
  }
  void MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) override {
    Add("MatmulSiluMul", Text(x), gate_up, Text(out));
    multiplied.push_back({Shape(x, out), x.rows, out.rows});
  }
  void RopeAndStore(Tensor qkv, int64_t layer, const kernels::HeadNorms& norms, Tensor q_out) override {
    Add("RopeAndStore", Text(qkv), layer, norms.q, norms.k, Text(q_out));
  }
  void Attention(Tensor q, int64_t layer, Tensor out) override {
    Add("Attention", Text(q), layer, Text(out));
  }
  void GatherWanted(Tensor x, Tensor out) override { Add("GatherWanted", Text(x), Text(out)); }

  std::vector<std::string> calls;  // of the last Run
  struct Multiplied {
    std::string shape;
    int64_t rows = 0, out_rows = 0;
  };
  std::vector<Multiplied> prepared, multiplied;

 private:
  // All but the rows, of a matmul.
  static std::string Shape(Tensor x, Tensor out) {
    return absl::StrCat(x.cols, " to ", out.cols, " by ", out.stride, " of ", static_cast<int>(out.dtype));
  }
  template <typename... Args>
  void Add(const char* op, const Args&... args) {
    std::string call = op;
    (absl::StrAppend(&call, ", ", Word(args)), ...);
    calls.push_back(std::move(call));
  }
  template <typename T>
  static auto Word(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return static_cast<int32_t>(value);
    } else {
      return value;
    }
  }

  std::deque<char> buffers_;  // addresses only
  int32_t next_ = 0;
};

// The next tokens of a sequence, behind full blocks that are computed.
struct Rows {
  std::vector<TokenId> ids;
  std::vector<int32_t> computed, blocks;
  bool wanted = true, scaled = false;
};

class BucketTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto checkpoint = checkpoint_.Open("yarn:4:32");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    auto runner = TransformerRunner::Load(*checkpoint,
                                          {.kv_blocks = 16,
                                           .max_batch_tokens = 40,
                                           .max_sequences = 3,
                                           .max_wanted_rows = 3,
                                           .tokenizer_size = 48},
                                          backend_, alone_);
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
  }
  std::vector<std::string> CallsOf(const std::vector<Rows>& sequences) {
    for (; open_ > 0; --open_) next_.Op(CloseSlot{open_ - 1});
    for (const Rows& rows : sequences) {
      next_.Open({.slot = open_++, .scaled_rope = rows.scaled ? 1 : 0}, {}, rows.computed);
    }
    for (int32_t slot = 0; slot < open_; ++slot) {
      const Rows& rows = sequences[slot];
      const auto position = static_cast<int32_t>(std::ssize(rows.computed) * kBlockTokens);
      next_.Rows(slot, position, rows.ids, rows.blocks);
      if (rows.wanted) next_.Want();
    }
    const BatchPlan plan = next_.Take();
    const absl::Status launched = runner_->Launch(plan);
    EXPECT_TRUE(launched.ok()) << launched;
    EXPECT_TRUE(runner_->Collect().ok());
    return backend_.calls;
  }

  const TestCheckpoint checkpoint_{"BF16"};
  RecordingBackend backend_;
  IdlePlace alone_{0, 1};
  std::unique_ptr<TransformerRunner> runner_;
  PlanBuilder next_;
  int32_t open_ = 0;  // slots
};

TEST_F(BucketTest, EqualBucketsAreTheSameCallsWithTheSameArguments) {
  const auto calls = CallsOf({{{1, 2, 3}, {}, {0}}, {{4, 5}, {}, {1}}});
  EXPECT_GT(calls.size(), 10u);
  EXPECT_EQ(CallsOf({{{9}, {5}, {7}}, {{8, 7, 6, 5}, {2}, {3}}}), calls) << "other tokens, cut elsewhere";
  EXPECT_EQ(CallsOf({{{9}, {}, {5}}, {{8, 7, 6}, {}, {2}, false}, {{1}, {4, 6}, {8}, true, true}}), calls)
      << "another number of sequences, and another rope";
}

TEST_F(BucketTest, OthersAreNot) {
  const auto calls = CallsOf({{{1, 2, 3}, {}, {0}}, {{4, 5}, {}, {1}}});
  EXPECT_NE(CallsOf({{{1, 2, 3}, {}, {0}}, {{4, 5, 6}, {}, {1}}}), calls) << "another row";
  EXPECT_NE(CallsOf({{{1, 2, 3}, {}, {0}}, {{4, 5}, {}, {1}, false}}), calls)
      << "one row fewer that is wanted";
}

// At its largest: a device has chosen for all of them when a step comes.
TEST_F(BucketTest, EveryMatmulOfAStepWasNamedBefore) {
  CallsOf({{{1, 2, 3}, {}, {0}}, {{4, 5}, {}, {1}}});
  ASSERT_FALSE(backend_.multiplied.empty());
  for (const auto& [shape, rows, out_rows] : backend_.multiplied) {
    const int64_t most = rows == 5 ? 40 : 3;  // of tokens, or of wanted rows
    EXPECT_TRUE(std::ranges::any_of(backend_.prepared,
                                    [&, &shape = shape](const auto& named) {
                                      return named.shape == shape && named.rows == most &&
                                             named.out_rows == most;
                                    }))
        << shape << ", " << rows << " rows";
  }
  for (const auto& [shape, rows, out_rows] : backend_.prepared) {
    EXPECT_TRUE(std::ranges::any_of(backend_.multiplied,
                                    [&, &shape = shape](const auto& done) { return done.shape == shape; }))
        << shape << " is in no step";
  }
}

}  // namespace
}  // namespace quire::worker
