#include "worker/model/read_list.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>

#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

constexpr int64_t kPage = 4096;

WeightPlan PlanFor(const ModelConfig& config, int rank, int ranks) {
  return PlanWeights(config, *MakeShard(config, rank, ranks));
}

// Addresses of tensors of these shapes, in bf16, behind which there is no memory: nothing may look at them.
class UnreadTensors {
 public:
  explicit UnreadTensors(const WeightPlan& plan) {
    int64_t end = kFirst;
    const auto each_slice = [&](auto visit) {
      plan.ForEach([&](const auto& item) {
        for (const TensorSlice& slice : item.parts) visit(slice);
      });
    };
    std::map<std::string, int64_t> begins;
    each_slice([&](const TensorSlice& slice) {
      begins[slice.name] = end;
      end += BytesOf(slice);
    });
    size_ = end;
    memory_ = static_cast<uint8_t*>(mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    each_slice([&](const TensorSlice& slice) {
      const std::span<const uint8_t> bytes(memory_ + begins[slice.name], BytesOf(slice));
      tensors_[slice.name] = {StoredType::kBf16, slice.shape, bytes};
      stored_bytes_ += BytesOf(slice);
    });
  }
  ~UnreadTensors() { munmap(memory_, size_); }
  const StoredTensors& tensors() const { return tensors_; }
  int64_t stored_bytes() const { return stored_bytes_; }

 private:
  static constexpr int64_t kFirst = 10'008;  // behind a header
  static int64_t BytesOf(const TensorSlice& slice) {
    int64_t bytes = 2;
    for (const int64_t size : slice.shape) bytes *= size;
    return bytes;
  }
  int64_t size_ = 0, stored_bytes_ = 0;
  uint8_t* memory_ = nullptr;
  StoredTensors tensors_;
};

struct Counted {
  int64_t pieces = 0, bytes = 0, longest = 0;
  int64_t page_bytes = 0;  // of the pages that the pieces touch
};

Counted CountPieces(ReadList list) {
  Counted counted;
  uintptr_t last_page = 0;
  while (const auto piece = list.Next()) {
    ++counted.pieces;
    counted.bytes += std::ssize(*piece);
    counted.longest = std::max<int64_t>(counted.longest, std::ssize(*piece));
    const auto begin = reinterpret_cast<uintptr_t>(piece->data());
    const uintptr_t first = begin / kPage, last = (begin + piece->size() - 1) / kPage;
    counted.page_bytes += static_cast<int64_t>(last - first + (first == last_page ? 0 : 1)) * kPage;
    last_page = last;
  }
  EXPECT_EQ(counted.bytes, list.read_bytes(list.items()));
  return counted;
}

ModelConfig Qwq() {
  ModelConfig config;
  config.architecture.qkv_bias = true;
  config.vocab = 152'064;
  config.hidden = 5120;
  config.layers = 64;
  config.ffn = 27'648;
  config.query_heads = 40;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.plain_context = config.max_context = 40'960;
  return config;
}

TEST(ReadListTest, ARankAloneReadsEveryTensorOnce) {
  const UnreadTensors qwq(PlanFor(Qwq(), 0, 1));
  EXPECT_EQ(qwq.stored_bytes(), 65'527'752'704);
  const ReadList list(qwq.tensors(), PlanFor(Qwq(), 0, 1), /*whole_rows=*/false);
  EXPECT_EQ(list.own_bytes(list.items()), qwq.stored_bytes());
  const Counted read = CountPieces(list);
  EXPECT_EQ(read.bytes, qwq.stored_bytes());
  EXPECT_LE(read.longest, 31 * kPage) << "a request of 32 pages holds it";
}

// A row of down is 55 KB, of o 10 KB: a rank's columns of it 7 and 1.3 KB. Those of down are read by
// themselves, in whole pages; those of o lie so close that their rows are read whole.
TEST(ReadListTest, OneOfEightRanksReadsItsSlicesAndHalfAsMuchAgain) {
  const UnreadTensors qwq(PlanFor(Qwq(), 0, 1));
  for (const int rank : {0, 3, 7}) {
    const WeightPlan plan = PlanFor(Qwq(), rank, 8);
    const ReadList list(qwq.tensors(), plan, /*whole_rows=*/false);
    const double own = static_cast<double>(list.own_bytes(list.items()));
    EXPECT_NEAR(own / static_cast<double>(qwq.stored_bytes()), 0.125, 0.001);
    EXPECT_LT(static_cast<double>(CountPieces(list).page_bytes), 1.6 * own) << rank;
  }
}

TEST(ReadListTest, TwoAndFourRanksReadLittleMoreThanTheirSlices) {
  const UnreadTensors qwq(PlanFor(Qwq(), 0, 1));
  for (const int ranks : {2, 4}) {
    const ReadList list(qwq.tensors(), PlanFor(Qwq(), 1, ranks), /*whole_rows=*/false);
    const double own = static_cast<double>(list.own_bytes(list.items()));
    EXPECT_LT(static_cast<double>(CountPieces(list).page_bytes), 1.25 * own) << ranks;
  }
}

// Where all ranks share a disk its pages are read once, and in long stretches, however many ask for them.
TEST(ReadListTest, WholeRowsAreReadForTheOtherRanks) {
  const UnreadTensors qwq(PlanFor(Qwq(), 0, 1));
  const ReadList apart(qwq.tensors(), PlanFor(Qwq(), 3, 8), /*whole_rows=*/false);
  const ReadList together(qwq.tensors(), PlanFor(Qwq(), 3, 8), /*whole_rows=*/true);
  EXPECT_EQ(together.own_bytes(together.items()), apart.own_bytes(apart.items()));
  const Counted pieces = CountPieces(together);
  EXPECT_LT(pieces.pieces, CountPieces(apart).pieces);
  EXPECT_GT(pieces.bytes, 3 * together.own_bytes(together.items()));
}

TEST(ReadListTest, ItemsEndWhereTheirPiecesDo) {
  const TestCheckpoint folder("F32");
  const Checkpoint checkpoint = *folder.Open();
  const WeightPlan plan = PlanFor(checkpoint.config, 1, 3);
  ReadList list(checkpoint.files->tensors(), plan, /*whole_rows=*/false);
  int64_t items = 0, own = 0, read = 0;
  plan.ForEach([&](const auto& item) {
    if (item.parts.empty()) return;
    ++items;
    for (const TensorSlice& slice : item.parts) own += 4 * slice.elements();
    while (read < list.read_bytes(items)) {
      const auto piece = list.Next();
      ASSERT_TRUE(piece.has_value());
      read += std::ssize(*piece);
    }
    EXPECT_EQ(read, list.read_bytes(items));
    EXPECT_EQ(own, list.own_bytes(items));
  });
  EXPECT_EQ(items, list.items());
  EXPECT_FALSE(list.Next().has_value());
}

// Every byte that packing will touch, and nothing outside the tensors.
TEST(ReadListTest, PiecesHoldTheSlice) {
  const TestCheckpoint folder("BF16", {.ffn = 24'000});  // rows of down are 48 KB, a rank's part 16 KB
  const Checkpoint checkpoint = *folder.Open();
  const StoredTensor down = *checkpoint.files->Find("model.layers.0.mlp.down_proj.weight");
  ReadList list(checkpoint.files->tensors(), PlanFor(checkpoint.config, 1, 3), /*whole_rows=*/false);
  std::vector<bool> read(down.bytes.size()), wanted(down.bytes.size());
  while (const auto piece = list.Next()) {
    const int64_t first = piece->data() - down.bytes.data();
    if (first < 0 || first >= std::ssize(down.bytes)) continue;
    std::fill_n(read.begin() + first, piece->size(), true);
  }
  for (int64_t row = 0; row < 24; ++row) std::fill_n(wanted.begin() + row * 48'000 + 16'000, 16'000, true);
  EXPECT_TRUE(read == wanted);
}

}  // namespace
}  // namespace quire::worker
