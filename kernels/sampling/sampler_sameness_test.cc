// The sampler chooses what a naive one does: kept sets, weights, tokens and logprobs, bit by bit.
#include <gtest/gtest.h>

#include "kernels/sampling/testing/naive_choices.h"

namespace quire::kernels {
namespace {

TEST(SamplerSamenessTest, SmallVocabulariesOfEverySize) {
  for (const int64_t ids : {1, 2, 5, 63, 64, 65, 127, 300, 1000, 1027}) {
    ExpectNaiveChoices(PortableScans(), ids, 150, static_cast<uint32_t>(ids));
  }
}

TEST(SamplerSamenessTest, LargeVocabularies) {
  ExpectNaiveChoices(PortableScans(), 20'011, 30, 1);
  ExpectNaiveChoices(PortableScans(), 49'152, 6, 2);
}

}  // namespace
}  // namespace quire::kernels
