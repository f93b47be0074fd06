// Which algorithm a shape gets, over a library that is made up: the fastest that sums as decode does; one
// that an earlier start kept, where this library offers and supports it for this shape; none, and words.
// Nothing that was kept is believed beyond that.
#include "kernels/cuda/lt/lt_choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/lt/testing/fake_lt.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cuda {
namespace {

using testing::ElementsAre;
using testing::Pair;

class LtChoicesTest : public testing::Test {
 protected:
  static constexpr LtShape kShape{24, 16, 64, 1, false, 16};
  static LtShape Of(int m) {
    LtShape shape = kShape;
    shape.m = m;
    return shape;
  }
  LtProduct Product(const LtShape& shape) { return {w_.data(), x_.data(), y_.data(), shape}; }
  LtProduct Product(int m) { return Product(Of(m)); }

  LtChoices Made() {
    return LtChoices(lt_.Calls(),
                     {.load =
                          [this] {
                            ++loads_;
                            return kept_;
                          },
                      .store =
                          [this](const LtKept& kept) {
                            ++stores_;
                            kept_ = kept;
                          },
                      .chose = [this](const LtChoice& choice) { chose_.push_back(choice); },
                      .progress = [this](int done, int of) { progress_.emplace_back(done, of); }});
  }
  void Choose(LtChoices& choices, std::initializer_list<int> ms) {
    std::vector<LtProduct> products;
    for (const int m : ms) products.push_back(Product(m));
    choices.Choose(stream_, products);
  }
  // The tile that it ran by.
  int TileOf(LtChoices& choices, int m) {
    lt_.ran.clear();
    EXPECT_EQ(choices.Run(stream_, Product(m)), LtAnswer::kDone);
    EXPECT_EQ(stream_.Synchronize(), "");
    return lt_.ran.empty() ? -1 : lt_.ran.back().tile;
  }

  std::vector<uint16_t> x_ = RandomBf16(64 * 64, 1), w_ = RandomBf16(16 * 64, 2);
  std::vector<float> y_ = std::vector<float>(64 * 16);
  Stream stream_;
  FakeLt lt_;
  LtKept kept_;
  int loads_ = 0, stores_ = 0;
  std::vector<LtChoice> chose_;
  std::vector<std::pair<int, int>> progress_;
};

TEST_F(LtChoicesTest, TheFastestOfTheChainIsChosenOnceAndKept) {
  lt_.offers = {{.id = 7, .tile = 1, .split_k = 1},
                FakeLt::Chain(2),
                FakeLt::Chain(3),
                {.id = 66, .tile = 4, .split_k = 3},
                FakeLt::Chain(5)};
  lt_.us = {{1, 0.1}, {2, 5}, {3, 2}, {4, 0.1}, {5, -1}};
  LtChoices choices = Made();
  Choose(choices, {24, 24, 64});
  EXPECT_THAT(progress_, ElementsAre(Pair(0, 2), Pair(1, 2), Pair(2, 2)));
  EXPECT_EQ(TileOf(choices, 24), 3);
  EXPECT_EQ(TileOf(choices, 64), 3);
  EXPECT_EQ(lt_.timed, 6);
  ASSERT_EQ(chose_.size(), 2u);
  EXPECT_EQ(chose_[0].candidates, 3);
  EXPECT_EQ(chose_[0].us, 2);
  EXPECT_EQ(chose_[0].algorithm, NameOf(FakeLt::Chain(3)));
  EXPECT_THAT(kept_, ElementsAre(Pair(Of(24), FakeLt::Chain(3)), Pair(Of(64), FakeLt::Chain(3))));
  Choose(choices, {24, 64});
  EXPECT_EQ(stores_, 1) << "there is nothing new";
  EXPECT_EQ(loads_, 1);
}

TEST_F(LtChoicesTest, WhatWasKeptIsNotTimed) {
  lt_.offers = {FakeLt::Chain(1), FakeLt::Chain(2)};
  kept_ = {{Of(24), FakeLt::Chain(2)}, {Of(32), FakeLt::Chain(1)}};
  LtChoices choices = Made();
  Choose(choices, {24, 32});
  EXPECT_EQ(lt_.timed, 0);
  EXPECT_EQ(stores_, 0);
  EXPECT_THAT(progress_, ElementsAre(Pair(0, 0)));
  EXPECT_EQ(TileOf(choices, 24), 2);
  EXPECT_EQ(TileOf(choices, 32), 1);
}

// A kept choice is one of those that the library offers for the shape, or it is none.
TEST_F(LtChoicesTest, AForeignOrHostileChoiceIsMadeAnew) {
  lt_.offers = {FakeLt::Chain(1),
                FakeLt::Chain(2),
                {.id = 7, .tile = 9, .split_k = 1},
                {.id = 66, .tile = 8, .split_k = 4}};
  lt_.us = {{1, 4}, {2, 3}};
  LtConfig almost = FakeLt::Chain(1);
  almost.stages = 5;
  for (const LtConfig& kept : {FakeLt::Chain(3), almost, lt_.offers[2], lt_.offers[3]}) {
    kept_ = {{Of(24), kept}};
    chose_.clear();
    LtChoices choices = Made();
    Choose(choices, {24});
    EXPECT_EQ(chose_.size(), 1u) << NameOf(kept);
    EXPECT_EQ(TileOf(choices, 24), 2) << NameOf(kept);
    EXPECT_THAT(kept_, ElementsAre(Pair(Of(24), FakeLt::Chain(2)))) << "and mended";
  }
  lt_.unsupported = {1};
  kept_ = {{Of(24), FakeLt::Chain(1)}};
  LtChoices choices = Made();
  Choose(choices, {24});
  EXPECT_EQ(TileOf(choices, 24), 2) << "AlgoCheck refuses what was kept";
}

TEST_F(LtChoicesTest, WhereNoneSumsAsTheChainThatIsSaidAndNotKept) {
  lt_.offers = {{.id = 7, .tile = 1, .split_k = 1}};
  LtChoices choices = Made();
  Choose(choices, {24});
  EXPECT_EQ(choices.Run(stream_, Product(24)), LtAnswer::kNoChain);
  lt_.takes_shapes = false;
  EXPECT_EQ(choices.Run(stream_, Product(32)), LtAnswer::kNoChain);
  ASSERT_EQ(chose_.size(), 2u);
  EXPECT_EQ(chose_[0].algorithm, "");
  EXPECT_EQ(chose_[0].candidates, 0);
  EXPECT_EQ(stores_, 0);
  EXPECT_TRUE(lt_.ran.empty());
}

// A count of rows that nobody named is chosen for when it comes, unless it is captured then.
TEST_F(LtChoicesTest, AnUnforeseenShapeIsChosenForWhenItComes) {
  LtChoices choices = Made();
  const Graph refused(
      stream_, [&](Stream& stream) { EXPECT_EQ(choices.Run(stream, Product(24)), LtAnswer::kFailed); });
  EXPECT_EQ(lt_.timed, 0);
  EXPECT_EQ(TileOf(choices, 24), 1);
  const Graph graph(stream_,
                    [&](Stream& stream) { EXPECT_EQ(choices.Run(stream, Product(24)), LtAnswer::kDone); });
  EXPECT_EQ(graph.error(), "");
  EXPECT_GT(graph.nodes(), 0u);
  lt_.fails = true;
  EXPECT_EQ(choices.Run(stream_, Product(24)), LtAnswer::kFailed);
}

TEST_F(LtChoicesTest, WithoutAnyOptionsItChoosesAsWell) {
  LtChoices choices(lt_.Calls(), {});
  Choose(choices, {24});
  EXPECT_EQ(TileOf(choices, 24), 1);
  EXPECT_EQ(choices.version(), 130100u);
}

}  // namespace
}  // namespace quire::kernels::cuda
