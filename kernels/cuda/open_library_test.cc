// A library that is there and lacks a function hides no complete one behind it.
#include "kernels/cuda/open_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quire::kernels::cuda {
namespace {

using testing::HasSubstr;

TEST(OpenLibrary, TheFirstThatHasAllIsTaken) {
  double (*cosine)(double) = nullptr;
  const auto resolve = [&](void* library) -> std::string {
    return ResolveFunction(library, "cos", &cosine) ? "" : "cos";
  };
  const char* const places[] = {"libquire-none.so.9", "libc.so.6", "libm.so.6"};
  std::string why;
  EXPECT_NE(OpenLibrary(places, resolve, &why), nullptr);
  ASSERT_NE(cosine, nullptr);
  EXPECT_EQ(cosine(0), 1.0);
  EXPECT_THAT(why, HasSubstr("libquire-none.so.9"));
  EXPECT_THAT(why, HasSubstr("libc.so.6 lacks cos; "));
}

TEST(OpenLibrary, WhereNoneIsAllAreNamed) {
  const char* const places[] = {"libc.so.6", "libm.so.6"};
  std::string why;
  EXPECT_EQ(OpenLibrary(
                places, [](void*) { return "quire"; }, &why),
            nullptr);
  EXPECT_EQ(why, "libc.so.6 lacks quire; libm.so.6 lacks quire; ");
}

}  // namespace
}  // namespace quire::kernels::cuda
