#include "worker/model/read_ahead.h"

#include <gtest/gtest.h>
#include <string.h>

#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

constexpr int64_t kAll = int64_t{1} << 40;

struct Advised {
  std::vector<ReadAhead::Bytes> parts;
  ReadAhead::Advise Advise() {
    return [this](ReadAhead::Bytes bytes) { parts.push_back(bytes); };
  }
  int64_t bytes() const {
    int64_t sum = 0;
    for (const auto& part : parts) sum += std::ssize(part);
    return sum;
  }
  bool Holds(ReadAhead::Bytes bytes) const {
    for (const auto& part : parts) {
      if (part.data() <= bytes.data() && bytes.data() + bytes.size() <= part.data() + part.size())
        return true;
    }
    return false;
  }
};

WeightPlan PlanOf(const Checkpoint& checkpoint, int rank, int ranks) {
  return PlanWeights(checkpoint.config, *MakeShard(checkpoint.config, rank, ranks));
}

int64_t StoredBytes(const Safetensors& files) {
  int64_t sum = 0;
  for (const auto& [name, tensor] : files.tensors()) sum += std::ssize(tensor.bytes);
  return sum;
}

TEST(ReadAheadTest, ARankAloneAsksForEveryTensorOnce) {
  const TestCheckpoint folder("F32");
  const Checkpoint checkpoint = *folder.Open();
  Advised advised;
  const ReadAhead ahead(*checkpoint.files, PlanOf(checkpoint, 0, 1), kAll, advised.Advise());
  EXPECT_EQ(advised.bytes(), StoredBytes(*checkpoint.files));
  for (const auto& [name, tensor] : checkpoint.files->tensors())
    EXPECT_TRUE(advised.Holds(tensor.bytes)) << name;
}

TEST(ReadAheadTest, NothingIsAskedForBeforeItsWindow) {
  const TestCheckpoint folder("BF16");
  const Checkpoint checkpoint = *folder.Open();
  const WeightPlan plan = PlanOf(checkpoint, 0, 1);
  Advised advised;
  ReadAhead ahead(*checkpoint.files, plan, /*window_bytes=*/1, advised.Advise());
  int64_t items = 0, parts = 0;
  plan.ForEach([&](const auto& item) {
    if (item.parts.empty()) return;
    EXPECT_EQ(std::ssize(advised.parts), parts + 1) << "the next item's first part, at " << items;
    parts += std::ssize(item.parts);
    ahead.OnLoaded(++items);
  });
  EXPECT_EQ(std::ssize(advised.parts), parts);
  EXPECT_EQ(advised.bytes(), StoredBytes(*checkpoint.files));
}

TEST(ReadAheadTest, ARankAsksForItsOwnSlices) {
  const TestCheckpoint folder("BF16", {.ffn = 120'000});  // rows of down are 240 KB, a rank's part 80 KB
  const Checkpoint checkpoint = *folder.Open();
  const StoredTensor down = *checkpoint.files->Find("model.layers.0.mlp.down_proj.weight");
  int64_t of_all_ranks = 0;
  for (int rank = 0; rank < 3; ++rank) {
    Advised advised;
    const ReadAhead ahead(*checkpoint.files, PlanOf(checkpoint, rank, 3), kAll, advised.Advise());
    for (int other = 0; other < 3; ++other) {
      EXPECT_EQ(advised.Holds(down.bytes.subspan(240'000 + other * 80'000, 80'000)), other == rank);
    }
    of_all_ranks += advised.bytes();
  }
  const int64_t shared = 2 * 2 * (24 * 48 * 2) + 5 * 24 * 2 * 2;  // o's rows are short, norms are everybody's
  EXPECT_EQ(of_all_ranks, StoredBytes(*checkpoint.files) + shared);
}

// Advice about memory that isn't a file's changes nothing.
TEST(ReadAheadTest, TheKernelTakesAnyPart) {
  std::vector<uint8_t> memory(100'000, 7);
  ReadAhead::AdviseKernel(std::span<const uint8_t>(memory).subspan(4'097, 50'000));
  ReadAhead::AdviseKernel({});
  EXPECT_EQ(memory, std::vector<uint8_t>(100'000, 7));
}

}  // namespace
}  // namespace quire::worker
