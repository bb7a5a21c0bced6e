// SPDX-License-Identifier: GPL-2.0
/*
 * The suite of KUnit for the tests that #[kunit_tests] of the stand-in has found: one case, which
 * runs all of them.
 */
#include <kunit/test-bug.h>
#include <kunit/test.h>

#include "standin.h"

void standin_kunit_begin(const char *name, int length)
{
	kunit_info(kunit_get_current_test(), "%.*s\n", length, name);
}

void standin_kunit_fail(const char *text, int length)
{
	KUNIT_FAIL(kunit_get_current_test(), "%.*s", length, text);
}

static void all(struct kunit *test)
{
	standin_kunit_run();
}

static struct kunit_case cases[] = {
	KUNIT_CASE(all),
	{}
};

static struct kunit_suite suite = {
	.name = KBUILD_MODNAME,
	.test_cases = cases,
};

kunit_test_suite(suite);
