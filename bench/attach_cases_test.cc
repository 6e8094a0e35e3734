#include "bench/attach_cases.h"

#include <sys/resource.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

CaseList ListOf(const AttachAxes& axes) {
  CaseList list;
  AddAttachCases(axes, Options(), list);
  return list;
}

std::vector<std::string> NamesOf(const CaseList& list) {
  std::vector<std::string> names;
  for (const Case& one : list.cases) names.push_back(one.name.substr(sizeof("Attach/sysv_shm/") - 1));
  return names;
}

std::vector<std::string> ReasonsOf(const CaseList& list, const std::string& call) {
  std::vector<std::string> reasons;
  for (const SkippedCase& one : list.skipped) {
    if (one.name.rfind("Attach/sysv_shm/" + call + "/", 0) == 0) reasons.push_back(one.reason);
  }
  return reasons;
}

TEST(AttachCases, AreEverySizeWithOneAttachedAndEveryCountAtOneSize) {
  const CaseList list = ListOf({.segment_bytes = {4096, 1 << 20}, .attached = {1, 2, 3}});
  EXPECT_THAT(list.skipped, IsEmpty());
  const std::vector<std::string> names = NamesOf(list);
  EXPECT_THAT(names, SizeIs(2 + 4 * 4));
  EXPECT_THAT(std::vector<std::string>(names.begin(), names.begin() + 6),
              ElementsAre("create/4096/attached:0", "create/1048576/attached:0", "shmat/4096/attached:1",
                          "shmat/1048576/attached:1", "shmat/1048576/attached:2", "shmat/1048576/attached:3"));
  EXPECT_EQ(names.back(), "lock/1048576/attached:3");
}

TEST(AttachCases, HaveThePointThatBothAxesShareOnce) {
  EXPECT_THAT(NamesOf(ListOf({.segment_bytes = {4096}, .attached = {1}})),
              Contains("shmat/1048576/attached:1").Times(1));
  EXPECT_THAT(NamesOf(ListOf({.segment_bytes = {1 << 20}, .attached = {1}})),
              Contains("shmat/1048576/attached:1").Times(1));
}

TEST(AttachCases, SayWhatTheirTimesAreOf) {
  const CaseList list = ListOf({.segment_bytes = {1 << 20}, .attached = {}});
  std::vector<std::string> per;
  for (const Case& one : list.cases) {
    per.push_back(one.per);
    EXPECT_EQ(one.bytes, 1U << 20);
    EXPECT_EQ(one.pages * sysconf(_SC_PAGESIZE), 1U << 20);
  }
  EXPECT_THAT(per, ElementsAre("pair", "call", "call", HasSubstr(" page"), "pair"));
  EXPECT_EQ(list.cases[0].size, "1 MiB x0");
}

TEST(AttachCases, WhatDoesNotFitIntoMemoryIsSkippedWithItsReason) {
  const CaseList list = ListOf({.segment_bytes = {uint64_t{1} << 50}, .attached = {}});
  EXPECT_THAT(list.cases, IsEmpty());
  EXPECT_THAT(ReasonsOf(list, "first_touch"), ElementsAre(HasSubstr("would take more than half of the ")));
  EXPECT_THAT(ReasonsOf(list, "lock"), ElementsAre(HasSubstr("would take more than half of the ")));
  EXPECT_THAT(ReasonsOf(list, "shmat"), ElementsAre(StartsWith("shmget(")));
}

TEST(AttachCases, OfMoreProcessesThanAreAllowedAreSkippedWithTheReason) {
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit low = {.rlim_cur = 500, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  const CaseList list = ListOf({.segment_bytes = {}, .attached = {1, 1000}});
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(NamesOf(list), SizeIs(4));
  EXPECT_THAT(ReasonsOf(list, "shmdt"), ElementsAre(StartsWith("RLIMIT_NOFILE is 500, ")));
}

TEST(AttachCases, OfHugePagesAreThereOrSkippedWithTheReason) {
  const CaseList list = ListOf({.segment_bytes = {}, .attached = {}, .huge_pages = true});
  EXPECT_EQ(list.cases.size() + list.skipped.size(), 2U * 4);  // no lock: it does nothing there
  for (const SkippedCase& one : list.skipped) EXPECT_THAT(one.reason, HasSubstr("huge")) << one.name;
  for (const Case& one : list.cases) EXPECT_THAT(one.name, HasSubstr("/huge:")) << one.per;
}

}  // namespace
}  // namespace ipcmark::bench
