#include "base/http/inflate.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace quire::http {
namespace {

std::string Gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(InflateTest, GivesTheTextBack) {
  for (const std::string& text : {std::string(), std::string("{}"), std::string(300'000, 'a')}) {
    const auto inflated = Gunzip(Gzip(text), text.size());
    ASSERT_TRUE(inflated.ok()) << inflated.status();
    EXPECT_EQ(*inflated, text);
  }
}

TEST(InflateTest, StopsABomb) {
  const auto inflated = Gunzip(Gzip(std::string(20 << 20, '\0')), 8 << 20);
  EXPECT_EQ(inflated.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(InflateTest, RefusesWhatIsNotOneWholeMember) {
  const std::string whole = Gzip("hello hello hello");
  for (const std::string& bytes : {std::string(), std::string("hello"), whole.substr(0, whole.size() - 1),
                                   whole + "x", whole.substr(1)}) {
    EXPECT_EQ(Gunzip(bytes, 1000).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace quire::http
