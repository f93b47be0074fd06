// Against the values of transformers' _compute_yarn_parameters and _compute_llama3_parameters (which are
// fp32).
#include "worker/model/rope.h"

#include <gtest/gtest.h>

#include <map>

namespace quire::worker {
namespace {

void ExpectFrequencies(const RotaryFrequencies& table, const std::map<size_t, double>& expected) {
  for (const auto& [pair, frequency] : expected) {
    EXPECT_NEAR(table.inv_freq[pair], frequency, 1e-6 * frequency) << "pair " << pair;
  }
}

TEST(RopeTest, Plain) {
  const RotaryFrequencies table = MakeRotaryFrequencies({}, 10000.0, 128);
  ASSERT_EQ(table.inv_freq.size(), 64u);
  EXPECT_EQ(table.inv_freq[0], 1.0);
  EXPECT_NEAR(table.inv_freq[32], 0.01, 1e-17);
  EXPECT_EQ(table.scale, 1.0);
}

// Bits, since ranks on different machines must agree: here std::pow of common C libraries gives others.
TEST(RopeTest, FrequenciesAreTheSameBitsEverywhere) {
  const RotaryFrequencies table = MakeRotaryFrequencies({}, 30000.0, 128);
  EXPECT_EQ(table.inv_freq[6], 0x1.858e528f4995ep-2);
  EXPECT_EQ(table.inv_freq[19], 0x1.7fec6340f27fcp-5);
  EXPECT_EQ(table.inv_freq[20], 0x1.46ce3ed8787bap-5);
  EXPECT_EQ(table.inv_freq[22], 0x1.d998fd646b714p-6);
  EXPECT_EQ(table.inv_freq[25], 0x1.241bd1e0acdap-6);
  EXPECT_EQ(table.inv_freq[44], 0x1.b61359e57b8bep-11);
}

TEST(RopeTest, YarnOfQwq) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kYarn;
  scaling.factor = 4.0;
  scaling.original_max_positions = 32768;
  scaling.attention_factor = 1.138629436111989;
  const RotaryFrequencies table = MakeRotaryFrequencies(scaling, 1e6, 128);
  EXPECT_EQ(table.scale, scaling.attention_factor);
  ExpectFrequencies(table, {{0, 1.0},
                            {1, 0.8058422207832336},
                            {20, 0.01333521492779255},
                            {24, 0.005375321488827467},
                            {28, 0.0018482765881344676},
                            {36, 0.0001798411540221423},
                            {40, 4.4456985051510856e-05},
                            {63, 3.102344408034696e-07}});
  // To the bit, where std::pow and std::log of common C libraries give others.
  EXPECT_EQ(table.inv_freq[5], 0x1.5bf9fe0f1f09ap-2);
  EXPECT_EQ(table.inv_freq[19], 0x1.0f200f5013418p-6);
  EXPECT_EQ(table.inv_freq[27], 0x1.3da48fbc8aa5ep-9);
  EXPECT_EQ(table.inv_freq[49], 0x1.ab88830de4ad6p-18);
}

TEST(RopeTest, YarnWithUntruncatedRange) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kYarn;
  scaling.factor = 4.0;
  scaling.original_max_positions = 32768;
  scaling.beta_fast = 16.0;
  scaling.truncate = false;
  ExpectFrequencies(MakeRotaryFrequencies(scaling, 1e6, 128), {{20, 0.01333521492779255},
                                                               {24, 0.005623413249850273},
                                                               {28, 0.0022061674389988184},
                                                               {36, 0.0001953242754098028},
                                                               {40, 4.4456985051510856e-05}});
}

TEST(RopeTest, Llama3) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.factor = 8.0;
  scaling.original_max_positions = 8192;
  const RotaryFrequencies table = MakeRotaryFrequencies(scaling, 500000.0, 128);
  EXPECT_EQ(table.scale, 1.0);
  ExpectFrequencies(table, {{1, 0.8146172165870667},
                            {28, 0.0032114461064338684},
                            {30, 0.0013718936825171113},
                            {32, 0.0005248460220173001},
                            {36, 7.784655463183299e-05},
                            {63, 3.068925877869333e-07}});
  EXPECT_EQ(table.inv_freq[6], 0x1.2b3dc533bac4ap-2);  // to the bit, as YaRN's
  EXPECT_EQ(table.inv_freq[8], 0x1.8d275e352b569p-3);
  EXPECT_EQ(table.inv_freq[18], 0x1.98de92064b9a4p-6);
}

TEST(RopeTest, NamesTellVariantsApart) {
  RopeScaling yarn;
  yarn.kind = RopeScaling::Kind::kYarn;
  yarn.factor = 4.0;
  yarn.original_max_positions = 32768;
  RopeScaling sharper = yarn;
  sharper.attention_factor = 1.2;
  EXPECT_EQ(RopeName({}), "plain");
  EXPECT_NE(RopeName(yarn), RopeName(sharper));
}

TEST(RopeTest, NamesTellApartWhatDiffersInTheLastBit) {
  using Kind = RopeScaling::Kind;
  const std::pair<Kind, double RopeScaling::*> numbers[] = {{Kind::kYarn, &RopeScaling::factor},
                                                            {Kind::kYarn, &RopeScaling::beta_fast},
                                                            {Kind::kYarn, &RopeScaling::beta_slow},
                                                            {Kind::kYarn, &RopeScaling::attention_factor},
                                                            {Kind::kLlama3, &RopeScaling::factor},
                                                            {Kind::kLlama3, &RopeScaling::low_freq_factor},
                                                            {Kind::kLlama3, &RopeScaling::high_freq_factor}};
  for (const auto& [kind, number] : numbers) {
    RopeScaling first;
    first.kind = kind;
    first.*number = 8.0 / 3.0;
    RopeScaling second = first;
    second.*number = std::nextafter(8.0 / 3.0, 3.0);
    EXPECT_NE(RopeName(first), RopeName(second));
  }
}

}  // namespace
}  // namespace quire::worker
