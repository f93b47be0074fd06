// Two steps in flight on the CUDA backend, on fibers, where nothing that a step reads back is there before it
// was waited for, and what a queued copy reads may not be written: the bits of one step at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/backend/device_step.h"
#include "kernels/sampling/testing/sampler_cases.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cuda {
namespace {

constexpr DeviceSize kFibers{2, kSharedBytesSm80};
constexpr int64_t kIds = 150, kHidden = 64, kHeads = 2, kDim = 64;
constexpr int64_t kMostTokens = 40, kMostRows = 8;

// A sequence as its test plans it.
struct Planned {
  int64_t slot = 0;
  std::vector<int32_t> prompt, blocks;
  int64_t position = 0, kept = 0;
  int64_t step = -1, row = -1;  // which sampled its last token
};

// What a row of a step is sampled by, all of it gone as soon as it was.
struct Specs {
  explicit Specs(int64_t rows) : specs(rows), counts(rows), pointers(rows) {}
  std::vector<SampleSpec> specs;
  std::vector<TokenCounts> counts;
  std::vector<const SampleSpec*> pointers;
  std::vector<uint32_t> allowed = std::vector<uint32_t>(5, 0xdbdbdbdbu);

  void Choose(size_t row, int64_t slot, int64_t step) {
    SampleSpec& spec = specs[row];
    spec.seed = static_cast<uint64_t>(slot + 7);
    spec.choice = static_cast<uint32_t>(row);
    spec.position = static_cast<uint32_t>(step);
    spec.params.temperature = step % 4 == 3 ? 0.0f : 0.9f;
    if (slot % 2 == 0) spec.params.logit_bias = {{static_cast<TokenId>(step), 1.5f}, {9, -4.0f}};
    if (slot == 1) spec.params.masked_ids = {static_cast<TokenId>(step % 3), 4};
    if (slot == 2) spec.allowed = allowed;
    if (slot != 0) spec.params.top_logprobs = static_cast<int32_t>(step % 5);
    if ((slot + step) % 3 == 0) {
      for (TokenId id = 0; id < static_cast<TokenId>(10 + step); ++id) counts[row].AddOutput(id);
      spec.params.repetition_penalty = 1.2f;
      spec.params.frequency_penalty = 0.3f;
      spec.counts = &counts[row];
    }
    pointers[row] = &spec;
  }
};

class Steps {
 public:
  explicit Steps(bool ahead) : ahead_(ahead) {
    auto stream = std::make_unique<Stream>(1, kFibers);
    stream_ = stream.get();
    backend_ = MakeCudaBackend(std::move(stream), std::make_unique<SkinnyGemms>(kFibers), "fibers");
    Load();
  }

  // The next rows of a sequence, and how often its last one is wanted.
  struct Part {
    Planned* sequence;
    int64_t rows = 1;
    int64_t wanted = 1;
  };
  void Step(const std::vector<Part>& parts) {
    const int64_t waits = stream_->waits();
    for (const BlockCopy& copy : copies_) backend_->CopyBlocks({&copy, 1});
    copies_.clear();
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.wanted;
    Specs specs(rows);
    launched_ = !parts.empty();
    if (launched_) Launch(parts, specs);
    before_sample_();
    backend_->Sample(logits_.Rows(rows), specs.pointers, {});
    EXPECT_TRUE(!ahead_ || stream_->waits() == waits) << "step " << tokens_.size() + in_flight_;
    ++in_flight_;
    if (in_flight_ > (ahead_ ? 1 : 0)) Read();
  }
  void Read() {
    const auto tokens = backend_->ReadSampled();
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    tokens_.emplace_back(tokens->begin(), tokens->end());
    --in_flight_;
    // Only what it had to wait for.
    EXPECT_EQ(stream_->copies_queued() > 0, in_flight_ > 0 && launched_);
  }
  // `to` goes on as `from` does, with the token of another row of the step that is launched next.
  void Fork(const Planned& from, Planned& to, int32_t block) {
    to.prompt = from.prompt;
    to.position = from.position;
    to.blocks = from.blocks;
    to.step = from.step;
    to.row = from.row + 1;
    copies_.push_back({from.blocks.back(), block});
    to.blocks.back() = block;
  }

  const std::vector<std::vector<SampledToken>>& tokens() const { return tokens_; }
  Backend& backend() { return *backend_; }
  // Makes a launch that fails.
  std::function<void()> Broken() {
    const Tensor wide = NewF32(*backend_, 1, 20480), out = NewBf16(*backend_, 1, 20480);
    const VectorId weight = backend_->AddVector(std::vector<float>(20480)).value();
    return [this, wide, weight, out] { backend_->RmsNorm(wide, weight, 1e-5f, out); };
  }
  std::function<void()> before_run_ = [] {}, before_sample_ = [] {};
  absl::Status ran_;  // of the first Run that failed

 private:
  void Load() {
    table_ = AddMatrix(*backend_, kIds, kHidden, RandomBf16(kIds * kHidden, 1));
    constexpr int64_t kQkv = (kHeads + 2) * kDim;
    qkv_ = AddMatrix(*backend_, kQkv, kHidden, RandomBf16(kQkv * kHidden, 2));
    head_ = AddMatrix(*backend_, kIds, kHeads * kDim, RandomBf16(kIds * kHeads * kDim, 3, 0.3f));
    norm_ = backend_->AddVector(std::vector<float>(kHidden, 1.0f)).value();
    rope_ = backend_->AddRope(std::vector<double>(kDim / 2, 0.1), 1, 64).value();
    ASSERT_TRUE(backend_
                    ->CreateKvCache(
                        {.layers = 1, .blocks = 16, .kv_heads = 1, .head_dim = kDim, .query_heads = kHeads})
                    .ok());
    x_ = NewF32(*backend_, kMostTokens, kHidden);
    normed_ = NewBf16(*backend_, kMostTokens, kHidden);
    qkv_rows_ = NewF32(*backend_, kMostTokens, kQkv);
    q_ = NewBf16(*backend_, kMostTokens, kHeads * kDim);
    attention_ = NewBf16(*backend_, kMostTokens, kHeads * kDim);
    wanted_ = NewBf16(*backend_, kMostRows, kHeads * kDim);
    logits_ = NewF32(*backend_, kMostRows, kIds);
    ASSERT_TRUE(backend_
                    ->ReserveStep({.tokens = kMostTokens,
                                   .sequences = 4,
                                   .wanted_rows = kMostRows,
                                   .table_blocks = 4,
                                   .sampled_ids = kIds})
                    .ok());
  }

  void Launch(const std::vector<Part>& parts, Specs& specs) {
    std::vector<int32_t> ids;
    std::vector<SequenceRows> sequences;
    std::vector<int64_t> wanted;
    std::vector<SampledInput> sampled;
    const auto step = static_cast<int64_t>(tokens_.size()) + in_flight_;
    for (const Part& part : parts) {
      Planned& s = *part.sequence;
      const auto first = std::ssize(ids);
      for (int64_t i = 0; i < part.rows; ++i) {
        if (s.position + i < std::ssize(s.prompt)) {
          ids.push_back(s.prompt[s.position + i]);
        } else if (ahead_ && s.step == step - 1) {
          sampled.push_back({.row = std::ssize(ids), .from = s.row});
          ids.push_back(-7);
        } else {
          ids.push_back(tokens_.at(s.step).at(s.row).id);
        }
      }
      sequences.push_back({.first_row = first,
                           .rows = part.rows,
                           .position = s.position,
                           .blocks = std::span(s.blocks).subspan(s.kept),
                           .rope = rope_,
                           .slot = s.slot,
                           .kept = s.kept});
      s.position += part.rows;
      s.kept = std::ssize(s.blocks);
      s.step = step;
      s.row = std::ssize(wanted);
      for (int64_t i = 0; i < part.wanted; ++i) {
        specs.Choose(wanted.size(), s.slot, step);
        wanted.push_back(std::ssize(ids) - 1);
      }
    }
    const StepBucket bucket =
        backend_->BeginStep({.ids = ids, .sequences = sequences, .wanted_rows = wanted, .sampled = sampled});
    before_run_();
    ran_.Update(backend_->Run(bucket, [&] { return Ops(bucket); }));
  }
  absl::Status Ops(const StepBucket& bucket) {
    const int64_t n = bucket.tokens;
    backend_->Embed(table_, 0, x_.Rows(n));
    backend_->RmsNorm(x_.Rows(n), norm_, 1e-5f, normed_.Rows(n));
    backend_->Matmul(normed_.Rows(n), qkv_, kNoBias, qkv_rows_.Rows(n));
    backend_->RopeAndStore(qkv_rows_.Rows(n), 0, {}, q_.Rows(n));
    backend_->Attention(q_.Rows(n), 0, attention_.Rows(n));
    backend_->GatherWanted(attention_.Rows(n), wanted_.Rows(bucket.wanted_rows));
    backend_->Matmul(wanted_.Rows(bucket.wanted_rows), head_, kNoBias, logits_.Rows(bucket.wanted_rows));
    return absl::OkStatus();
  }

  const bool ahead_;
  Stream* stream_ = nullptr;  // the backend's
  std::unique_ptr<Backend> backend_;
  MatrixId table_{}, qkv_{}, head_{};
  VectorId norm_{};
  RopeId rope_{};
  Tensor x_, normed_, qkv_rows_, q_, attention_, wanted_, logits_;
  std::vector<BlockCopy> copies_;
  std::vector<std::vector<SampledToken>> tokens_;  // of each step that was read
  int64_t in_flight_ = 0;
  bool launched_ = false;  // rows of the last step
};

std::vector<int32_t> Prompt(int64_t length, int32_t first) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>((first + i * 13) % kIds));
  return ids;
}

// Prompts in chunks beside sequences that decode, a fork, a step of no rows, and what comes behind it.
void Mixed(Steps& steps) {
  Planned a{.slot = 0, .prompt = Prompt(21, 3), .blocks = {5, 2}}, b{.slot = 1, .prompt = {}, .blocks = {}};
  Planned c{.slot = 2, .prompt = Prompt(5, 77), .blocks = {7, 1}};
  Planned d{.slot = 3, .prompt = Prompt(30, 40), .blocks = {8, 0, 3}};
  steps.Step({{&a, 13, 0}});
  steps.Step({{&a, 8, 2}});
  steps.Fork(a, b, 9);
  steps.Step({{&a}, {&b}});
  steps.Step({{&a}, {&b}, {&c, 5}});
  steps.Step({{&a}, {&b}, {&c}, {&d, 20, 0}});
  for (int i = 0; i < 3; ++i) steps.Step({{&a, 1, 2}, {&b}, {&c}});
  steps.Step({{&a}, {&b}, {&c}, {&d, 10}});
  steps.Step({{&d}});
  steps.Step({});
  for (int i = 0; i < 2; ++i) steps.Step({{&d}});
  steps.Step({{&c}, {&a}});
  steps.Step({});
  steps.Step({});
  steps.Step({{&a}});
}

TEST(StepsAhead, TwoInFlightGiveTheBitsOfOneAtATime) {
  Steps one(false), two(true);
  Mixed(one);
  Mixed(two);
  two.Read();
  ASSERT_EQ(one.tokens().size(), 17u);
  EXPECT_TRUE(one.ran_.ok() && two.ran_.ok());
  ASSERT_EQ(two.tokens().size(), one.tokens().size());
  std::vector<TokenId> seen;
  for (size_t step = 0; step < one.tokens().size(); ++step) {
    const auto &got = two.tokens()[step], &want = one.tokens()[step];
    ASSERT_EQ(got.size(), want.size()) << step;
    for (size_t row = 0; row < want.size(); ++row) {
      EXPECT_EQ(DifferenceOf(got[row], want[row]), "") << "step " << step << ", row " << row;
      EXPECT_FALSE(want[row].failed);
      seen.push_back(want[row].id);
    }
  }
  std::ranges::sort(seen);
  EXPECT_GT(std::unique(seen.begin(), seen.end()) - seen.begin(), 10);
}

TEST(StepsAhead, AFailureIsOfItsOwnStep) {
  Planned a{.slot = 0, .prompt = Prompt(5, 3), .blocks = {5}};
  Steps steps(true);
  const auto broken = steps.Broken();
  steps.Step({{&a, 5}});
  steps.before_sample_ = broken;
  steps.Step({{&a}});  // it reads the first
  EXPECT_EQ(steps.ran_, absl::OkStatus());
  ASSERT_EQ(steps.tokens().size(), 1u);
  EXPECT_FALSE(steps.tokens()[0][0].failed);
  EXPECT_EQ(steps.backend().ReadSampled().status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(steps.backend().Finish().code(), absl::StatusCode::kInternal);
}

// Where it was launched: to a group whose other ranks go on it is too late when the step is read. As it is
// first, captured and replayed alike, and the step before is none the worse.
TEST(StepsAhead, AFailedLaunchIsToldByRun) {
  for (const int good : {1, 2, 3}) {
    Planned a{.slot = 0, .prompt = Prompt(5, 3), .blocks = {5}};
    Steps steps(true);
    const auto broken = steps.Broken();
    steps.Step({{&a, 5}});
    for (int step = 1; step < good; ++step) steps.Step({{&a}});
    EXPECT_EQ(steps.ran_, absl::OkStatus());
    steps.before_run_ = broken;
    steps.Step({{&a}});
    EXPECT_EQ(steps.ran_.code(), absl::StatusCode::kInternal) << good;
    ASSERT_EQ(std::ssize(steps.tokens()), good);
    EXPECT_FALSE(steps.tokens().back()[0].failed);
    EXPECT_EQ(steps.backend().ReadSampled().status().code(), absl::StatusCode::kInternal);
  }
}

TEST(StepsAhead, WhoWaitsForAllHearsOfEachStepsFailure) {
  Planned a{.slot = 0, .prompt = Prompt(5, 3), .blocks = {5}};
  Steps steps(true);
  steps.before_sample_ = steps.Broken();
  steps.Step({{&a, 5}});
  EXPECT_EQ(steps.backend().Finish().code(), absl::StatusCode::kInternal);
}

// Inputs of a third step go where the first one's stand.
TEST(StepsAhead, AThirdStepsInputsWaitForTheFirst) {
  auto owned = std::make_unique<Stream>(1, kFibers);
  Stream& stream = *owned;
  const auto backend = MakeCudaBackend(std::move(owned), std::make_unique<SkinnyGemms>(kFibers), "fibers");
  ASSERT_TRUE(backend->ReserveStep({.tokens = 8}).ok());
  const int64_t before = stream.waits();
  for (int32_t step = 0; step < 5; ++step) {
    const std::vector<int32_t> ids(3, step);
    backend->BeginStep({.ids = ids, .sequences = {}, .wanted_rows = {}});
    EXPECT_EQ(stream.waits() - before, std::max(step - 1, 0));
  }
  EXPECT_EQ(backend->Finish(), absl::OkStatus());
}

TEST(StepsAheadDeathTest, IdsOfRowsThatWereNotSampled) {
  Planned a{.slot = 0, .prompt = Prompt(5, 3), .blocks = {5}};
  Steps steps(true);
  steps.Step({{&a, 5}});
  a.row = 1;
  EXPECT_DEATH(steps.Step({{&a}}), "none was sampled");
}

TEST(StepsAhead, PinnedMemoryIsWithinWhatThePlanCounts) {
  Stream stream(1, kFibers);
  for (const auto& [tokens, sequences, rows, blocks] :
       {std::tuple{1, 1, 1, 1}, {2048, 64, 80, 100}, {33, 32, 64, 8192}}) {
    DeviceStep step(stream);
    step.Reserve(stream,
                 {.tokens = tokens, .sequences = sequences, .wanted_rows = rows, .table_blocks = blocks},
                 {.layers = 1, .blocks = blocks, .kv_heads = 1, .head_dim = 64, .query_heads = 5});
    const int64_t most = DeviceStep::kPinnedFixedBytes + tokens * DeviceStep::kPinnedTokenBytes +
                         rows * DeviceStep::kPinnedRowBytes + sequences * DeviceStep::kPinnedSequenceBytes +
                         int64_t{sequences} * blocks * DeviceStep::kPinnedBlockBytes;
    EXPECT_LE(step.pinned_bytes(), most);
    EXPECT_GT(step.pinned_bytes() * 2, most - DeviceStep::kPinnedFixedBytes);
    EXPECT_EQ(stream.Synchronize(), "");
  }
}

}  // namespace
}  // namespace quire::kernels::cuda
