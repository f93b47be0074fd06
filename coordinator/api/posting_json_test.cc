#include "coordinator/api/posting_json.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/core/status.h"

namespace quire::coordinator {
namespace {

using testing::HasSubstr;

constexpr char kId[] = "00112233445566778899aabbccddeeff";

TEST(PostingJsonTest, ACreditIsRead) {
  const Ledger::NewCredit credit =
      *ParseCredit(R"({"account":"acme","amount_usd":"12.5","reference":"invoice 7","note":"by wire"})");
  EXPECT_EQ(credit.account, "acme");
  EXPECT_EQ(credit.amount_nano_usd, 12'500'000'000);
  EXPECT_EQ(credit.reference, "invoice 7");
  EXPECT_EQ(credit.note, "by wire");
  EXPECT_EQ(ParseCredit(R"({"account":"a","amount_nano_usd":7,"reference":"r"})")->amount_nano_usd, 7);
}

TEST(PostingJsonTest, ACreditIsRefusedByItsField) {
  const auto why = [](const std::string& body) { return MessageOf(ParseCredit(body).status()); };
  EXPECT_THAT(why("[]"), HasSubstr("object"));
  EXPECT_THAT(why(R"({"account":"a","reference":"r"})"), HasSubstr("'amount_usd' is required"));
  EXPECT_THAT(why(R"({"account":"a","amount_usd":"1"})"), HasSubstr("'reference' is required"));
  EXPECT_THAT(why(R"({"amount_usd":"1","reference":"r"})"), HasSubstr("'account' is required"));
  EXPECT_THAT(why(R"({"account":"a b","amount_usd":"1","reference":"r"})"), HasSubstr("'account'"));
  for (const char* amount : {"1", "\"-1\"", "\"0\"", "\"1e9\"", "\"1000000001\"", "null"}) {
    EXPECT_FALSE(
        ParseCredit(R"({"account":"a","reference":"r","amount_usd":)" + std::string(amount) + "}").ok())
        << amount;
  }
  EXPECT_THAT(why(R"({"account":"a","amount_usd":"1","amount_nano_usd":1,"reference":"r"})"),
              HasSubstr("exclude"));
  EXPECT_THAT(why(R"({"account":"a","amount_nano_usd":-1,"reference":"r"})"), HasSubstr("'amount_nano_usd'"));
  EXPECT_THAT(why(R"({"account":"a","amount_usd":"1","reference":"a\nb"})"), HasSubstr("'reference'"));
  EXPECT_THAT(why(R"({"accounts":"a"})"), HasSubstr("is not a field"));
}

TEST(PostingJsonTest, AnEntryHasItsHexadecimalIdOrAClientsOfTheRequest) {
  for (const char* before : {"", "chatcmpl-", "msg_", "resp_"}) {
    EXPECT_EQ(ParseReversal(R"({"entry":")" + std::string(before) + kId + "\"}")->entry.ToHex(), kId);
  }
  for (const char* id : {"", "7", "00112233445566778899aabbccddeefg", "00112233445566778899AABBCCDDEEFF"}) {
    EXPECT_THAT(MessageOf(ParseReversal(R"({"entry":")" + std::string(id) + "\"}").status()),
                HasSubstr("'entry'"));
  }
  EXPECT_THAT(MessageOf(ParseReversal("{}").status()), HasSubstr("'entry' is required"));
  EXPECT_FALSE(ParseReversal(R"({"entry":7})").ok());
}

TEST(PostingJsonTest, WhichEntriesAreListed) {
  const EntriesQuery query = *ParseEntriesQuery(
      {{"from_ms", "5"}, {"to_ms", "9"}, {"account", "a'; --"}, {"after", kId}, {"limit", "3"}});
  EXPECT_EQ(query.from_ms, 5);
  EXPECT_EQ(query.to_ms, 9);
  EXPECT_EQ(query.account, "a'; --");
  EXPECT_EQ(query.after->ToHex(), kId);
  EXPECT_EQ(query.limit, 3u);
  EXPECT_EQ(ParseEntriesQuery({})->limit, 100u);
  for (const char* limit : {"0", "1001", "-1", "x", ""})
    EXPECT_FALSE(ParseEntriesQuery({{"limit", limit}}).ok());
  EXPECT_FALSE(ParseEntriesQuery({{"after", "x"}}).ok());
  EXPECT_FALSE(ParseEntriesQuery({{"limit", "1"}, {"limit", "2"}}).ok());
  EXPECT_FALSE(ParseEntriesQuery({{"from_ms", "2"}, {"to_ms", "1"}}).ok());
  EXPECT_FALSE(ParseEntriesQuery({{"page", "1"}}).ok());
}

}  // namespace
}  // namespace quire::coordinator
