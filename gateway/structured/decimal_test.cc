#include "gateway/structured/decimal.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/structured/number_ebnf.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

Decimal Of(const char* json) {
  const auto decimal = Decimal::Of(ordered_json::parse(json));
  EXPECT_TRUE(decimal.has_value()) << json;
  return decimal.value_or(Decimal{});
}

TEST(Decimal, IsTheShortestForm) {
  const std::pair<const char*, const char*> forms[] = {{"0", "0"},
                                                       {"-0.0", "0"},
                                                       {"1.50", "1.5"},
                                                       {"1e3", "1000"},
                                                       {"1.25e-3", "0.00125"},
                                                       {"-120", "-120"},
                                                       {"0.1", "0.1"},
                                                       {"18446744073709551615", "18446744073709551615"},
                                                       {"1e20", "100000000000000000000"},
                                                       {"5e-1", "0.5"}};
  for (const auto& [json, text] : forms) EXPECT_EQ(Of(json).ToString(), text) << json;
  EXPECT_EQ(Decimal::Of("1"), std::nullopt);
  EXPECT_EQ(Decimal::Of(nullptr), std::nullopt);
}

TEST(Decimal, IsOrdered) {
  const char* ascending[] = {"-1000", "-20.5", "-20.25", "-3",  "-0.001", "0",    "1e-7",
                             "0.1",   "0.25",  "1",      "1.5", "10",     "99.9", "100"};
  for (size_t i = 0; i < std::size(ascending); ++i) {
    for (size_t k = 0; k < std::size(ascending); ++k) {
      EXPECT_EQ(Of(ascending[i]) < Of(ascending[k]), i < k) << ascending[i] << " " << ascending[k];
    }
  }
}

TEST(Decimal, Rounds) {
  EXPECT_EQ(Of("1.5").Ceiling(), Of("2"));
  EXPECT_EQ(Of("1.5").Floor(), Of("1"));
  EXPECT_EQ(Of("-1.5").Ceiling(), Of("-1"));
  EXPECT_EQ(Of("-0.5").Ceiling(), Of("0"));
  EXPECT_EQ(Of("-9.5").Floor(), Of("-10"));
  EXPECT_EQ(Of("99.5").Ceiling(), Of("100"));
  EXPECT_EQ(Of("7").Floor(), Of("7"));
  EXPECT_EQ(Of("7").Integer(), 7);
  EXPECT_EQ(Of("7.5").Integer(), std::nullopt);
  EXPECT_EQ(Of("1e19").Integer(), std::nullopt);
  EXPECT_EQ(Increment("999"), "1000");
  EXPECT_EQ(Decrement("1000"), "999");
  EXPECT_EQ(Decrement("1"), "");
}

TEST(NumberRange, HoldsWhatIsInIt) {
  const NumberRange range{
      .integer = false, .min = NumberBound{Of("-1.5"), false}, .max = NumberBound{Of("2"), true}};
  EXPECT_TRUE(range.Holds(Of("-1.5")));
  EXPECT_TRUE(range.Holds(Of("1.999")));
  EXPECT_FALSE(range.Holds(Of("2")));
  EXPECT_FALSE(range.Holds(Of("-1.51")));
  const NumberRange none{
      .integer = true, .min = NumberBound{Of("3"), true}, .max = NumberBound{Of("4"), true}};
  EXPECT_EQ(NumberEbnf(none), std::nullopt);
  const NumberRange far{.integer = true, .min = NumberBound{Of("1e30"), false}, .max = std::nullopt};
  EXPECT_EQ(NumberEbnf(far), std::nullopt) << "more digits than are written";
}

}  // namespace
}  // namespace quire::gateway
