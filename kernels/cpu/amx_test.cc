// AMX's matmuls: the twin against Intel's manual on every machine, the hardware against the twin where there
// is one, and a probe that a machine can't fool.
#include <gtest/gtest.h>

#include <xmmintrin.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <utility>
#include <vector>

#include "kernels/cpu/agreement.h"
#include "kernels/cpu/amx_probe.h"
#include "kernels/cpu/amx_test_emulator.h"
#include "kernels/cpu/float_mode.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/test_util.h"

namespace quire::kernels::cpu {
namespace {

constexpr AmxFacts kAllThere{.advertised = true, .whole_tiles = true, .saved = true, .refusal = 0};

// One strip of 16 outputs for m rows of x, and its packed weights.
struct Strip {
  int64_t m, pairs;
  std::vector<uint16_t> x, weights;

  Strip(int64_t m, int64_t pairs, uint32_t seed)
      : m(m),
        pairs(pairs),
        x(WildBf16(m * pairs * 2, seed)),
        weights(WildBf16(pairs * 2 * kLanes, seed + 2)) {}
  std::vector<float> Product(const MatmulKernels& kernels, int64_t leaves = 1) const {
    std::vector<float> out(m * kLanes), tiles(kTiles * kTileFloats);
    const FlushDenormals flush;
    kernels.plain({x.data(), 2 * pairs, m, leaves, pairs / leaves, weights.data(), kLanes, nullptr,
                   out.data(), kLanes, tiles.data()});
    return out;
  }
};

// The manual's pseudocode of TDPBF16PS for one element of the sums, tile after tile.
float ByTheManual(const Strip& strip, int64_t row, int64_t lane) {
  const FlushDenormals flush;  // "DAZ=FTZ=1"
  volatile float sum = 0;
  for (int64_t first = 0; first < strip.pairs; first += 16) {
    float temp[2] = {0, 0};
    for (int64_t k = first; k < first + 16; ++k) {
      for (int64_t i : {0, 1}) {
        const bool padding = k >= strip.pairs;
        const uint16_t x = padding ? uint16_t{0} : strip.x[(row * strip.pairs + k) * 2 + i];
        const uint16_t w = padding ? uint16_t{0} : strip.weights[(k * kLanes + lane) * 2 + i];
        temp[i] = std::fma(Bf16ToFloat(x), Bf16ToFloat(w), temp[i]);
      }
    }
    volatile const float both = temp[0] + temp[1];
    sum = sum + both;
  }
  return sum;
}

TEST(AmxTest, TheTwinComputesWhatTheManualSays) {
  int64_t numbers = 0;
  for (const int64_t pairs : {1, 15, 16, 17, 48, 100}) {
    for (const uint32_t seed : {2, 4, 7}) {
      const Strip strip(19, pairs, seed);
      const std::vector<float> got = strip.Product(AmxTwinMatmuls());
      for (int64_t row = 0; row < strip.m; ++row) {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
          const float have = got[row * kLanes + lane], want = ByTheManual(strip, row, lane);
          if (std::isnan(have) && std::isnan(want)) continue;
          ASSERT_EQ(std::bit_cast<uint32_t>(have), std::bit_cast<uint32_t>(want)) << pairs << " " << row;
          numbers += want != 0;
        }
      }
    }
  }
  EXPECT_GT(numbers, 3000);
}

TEST(AmxTest, ItIsAnotherFamilyThanTheDots) {
  const Strip strip(4, 32, 2);
  EXPECT_NE(strip.Product(AmxTwinMatmuls()), strip.Product(Avx2Kernels().matmuls));
}

// Ways to be wrong, on top of the twin.
void WithDenormals(const MatmulArgs& args) {
  constexpr unsigned kFlushes = 0x8040;
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved & ~kFlushes);
  AmxTwinMatmuls().plain(args);
  _mm_setcsr(saved);
}
void LastRowSwapped(const MatmulArgs& args) {
  AmxTwinMatmuls().plain(args);
  if (args.m < 300) return;
  float* last = static_cast<float*>(args.out) + (args.m - 1) * args.out_stride;
  std::swap_ranges(last, last + args.rows, last - args.out_stride);
}
void OneLeaf(const MatmulArgs& args) {
  MatmulArgs whole = args;
  whole.leaves = 1;
  whole.leaf_pairs = args.leaves * args.leaf_pairs;
  AmxTwinMatmuls().plain(whole);
}

TEST(MatmulTrialTest, NoticesWhatIsNotTheTwins) {
  const MatmulKernels twin = AmxTwinMatmuls(), dots = Avx2Kernels().matmuls;
  MatmulTrial trial(twin);
  EXPECT_TRUE(trial.Passes(twin));
  EXPECT_TRUE(trial.Passes(twin)) << "a second time";
  EXPECT_FALSE(trial.Passes(dots));
  EXPECT_FALSE(trial.Passes({twin.plain, dots.silu_mul}));
  EXPECT_FALSE(trial.Passes({dots.plain, twin.silu_mul}));
  EXPECT_FALSE(trial.Passes({WithDenormals, twin.silu_mul}));
  EXPECT_FALSE(trial.Passes({LastRowSwapped, twin.silu_mul}));
  EXPECT_FALSE(trial.Passes({OneLeaf, twin.silu_mul}));
}

TEST(TryInChildTest, SaysHowItEndedAndLivesOn) {
  EXPECT_TRUE(TryInChild([] { return true; }).ok());
  EXPECT_EQ(TryInChild([] { return false; }).code(), absl::StatusCode::kDataLoss);
  const absl::Status illegal = TryInChild([] {
    asm volatile("ud2");
    return true;
  });
  EXPECT_EQ(illegal.code(), absl::StatusCode::kAborted);
  EXPECT_NE(illegal.message().find("signal 4 "), std::string::npos) << illegal;
  const absl::Status fault = TryInChild([] {
    asm volatile("movb $0, (%0)" : : "r"(8L) : "memory");
    return true;
  });
  EXPECT_NE(fault.message().find("signal 11 "), std::string::npos) << fault;
  std::signal(SIGALRM, SIG_IGN);
  const absl::Status hung = TryInChild(
      [] {
        for (volatile bool on = true; on;) {
        }
        return true;
      },
      /*limit_s=*/1);
  EXPECT_NE(hung.message().find("signal 14 "), std::string::npos) << hung;
  EXPECT_EQ(std::signal(SIGALRM, SIG_DFL), SIG_IGN) << "it stays as it was here";
  std::signal(SIGCHLD, SIG_IGN);  // as some shells and supervisors leave it
  EXPECT_TRUE(TryInChild([] { return true; }).ok());
  EXPECT_EQ(std::signal(SIGCHLD, SIG_DFL), SIG_IGN) << "it stays as it was";
  bool touched = false;
  EXPECT_TRUE(TryInChild([&] { return touched = true; }).ok());
  EXPECT_FALSE(touched) << "what the child does is not done here";
}

TEST(AmxProbeTest, SaysWhatIsMissing) {
  const auto proof = [](AmxFacts facts) { return ProveAmx(facts, AmxTwinMatmuls()); };
  EXPECT_TRUE(proof(kAllThere).ok());
  EXPECT_EQ(proof({}).code(), absl::StatusCode::kNotFound);
  const std::pair<AmxFacts, const char*> cases[] = {
      {{.advertised = true}, "not tiles"},
      {{.advertised = true, .whole_tiles = true}, "doesn't save its tiles"},
      {{.advertised = true, .whole_tiles = true, .saved = true, .refusal = ENOSPC},
       "refuses it to this process"}};
  for (const auto& [facts, what] : cases) {
    const absl::Status status = proof(facts);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << what;
    EXPECT_NE(status.message().find(what), std::string::npos) << status;
  }
}

// What counts is what the products do, whatever CPU and system say of themselves.
TEST(AmxProbeTest, IsFooledByNoMachineThatOnlySaysSo) {
  const absl::Status wrong = ProveAmx(kAllThere, Avx2Kernels().matmuls);
  EXPECT_EQ(wrong.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(wrong.message().find("results were wrong"), std::string::npos) << wrong;
  const AmxFacts facts = AskForAmx();
  const bool here = ProveAmx(facts, AmxMatmuls()).ok();
  const absl::Status said = ProveAmx(kAllThere, AmxMatmuls());  // the instructions themselves
  EXPECT_EQ(said.ok(), here) << said;
  EXPECT_EQ(said.message().find("ended by signal") != std::string::npos, !here) << said;
}

// The kernel's machine code, to its strides and tile numbers.
TEST(AmxTest, TheInstructionsDoneByHandGiveTheTwinsBits) {
  if (!ChooseKernels("avx512").ok()) GTEST_SKIP() << "this machine has no AVX-512 BF16";
  if (ProveAmx(AskForAmx(), AmxMatmuls()).ok()) GTEST_SKIP() << "this machine does them itself";
  MatmulTrial trial(AmxTwinMatmuls());
  const AmxEmulator emulator;
  const int64_t before = emulator.instructions();
  EXPECT_TRUE(trial.Passes(AmxMatmuls()));
  EXPECT_GT(emulator.instructions() - before, 10'000);
  EXPECT_TRUE(emulator.released());
}

TEST(AmxTest, TheHardwareGivesTheTwinsBits) {
  const absl::Status proof = ProveAmx(AskForAmx(), AmxMatmuls());
  if (!proof.ok()) GTEST_SKIP() << "AMX and its twin were not compared: " << proof.message();
  for (int64_t m = 1; m <= 80; ++m) {
    for (const int64_t pairs : {8, 64, 104}) {
      const Strip strip(m, pairs, static_cast<uint32_t>(2 * m));
      for (const int64_t leaves : {1, 4}) {
        const std::vector<float> got = strip.Product(AmxMatmuls(), leaves),
                                 want = strip.Product(AmxTwinMatmuls(), leaves);
        for (size_t i = 0; i < want.size(); ++i) {
          if (std::isnan(got[i]) && std::isnan(want[i])) continue;
          ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i])) << m << " " << pairs;
        }
      }
    }
  }
}

}  // namespace
}  // namespace quire::kernels::cpu
