package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres"
	"github.com/gatehouse-auth/gatehouse/engine/store/postgres/pgtest"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

// postgresStores are stores on a server of the test's own, each in a schema.
func postgresStores(t *testing.T) storetest.Factory {
	server := pgtest.Start(t, "max_connections=400")
	var schemas atomic.Int64
	return storetest.Factory{
		New: func(testing.TB) string {
			return fmt.Sprintf("%s&search_path=place_%d", server.Address("postgres"), schemas.Add(1))
		},
		Open: func(ctx context.Context, address string) (store.Store, error) {
			return postgres.Open(ctx, postgres.Options{DSN: address, SweepInterval: -1})
		},
	}
}

// TestOnPostgreSQL: what the engine promises of single use, of the lives of tokens
// and of several processes, it promises whatever the store.
func TestOnPostgreSQL(t *testing.T) {
	others.Store(t.Name(), postgresStores(t))
	for name, test := range map[string]func(*testing.T){
		"Threat01OneCodeOneSuccess":         TestThreat01OneCodeOneSuccess,
		"Threat02OneSuccessor":              TestThreat02OneSuccessor,
		"Threat02RefreshAgainstRevoke":      TestThreat02RefreshAgainstRevoke,
		"Threat02ReplayAfterRestart":        TestThreat02ReplayAfterRestart,
		"Threat02OneSuccessorForTheKey":     TestThreat02OneSuccessorForTheKey,
		"Threat04RefreshLooksAgain":         TestThreat04RefreshLooksAgain,
		"Threat17ProofIsUsedOnce":           TestThreat17ProofIsUsedOnce,
		"TicketIsUsedOnce":                  TestTicketIsUsedOnce,
		"PasswordTicketIsUsedOnce":          TestPasswordTicketIsUsedOnce,
		"ClientAssertionIsUsedOnce":         TestClientAssertionIsUsedOnce,
		"Rotation":                          TestRotation,
		"RotationIsIdempotent":              TestRotationIsIdempotent,
		"RepeatAfterAccessTokenExpired":     TestRepeatAfterAccessTokenExpired,
		"EndSessionAtOnce":                  TestEndSessionAtOnce,
		"SingleAccessTokenPerSubject":       TestSingleAccessTokenPerSubject,
		"SingleAccessTokenAtOnce":           TestSingleAccessTokenAtOnce,
		"RefreshEndsTheCoupledTokenAlone":   TestRefreshEndsTheCoupledTokenAlone,
		"ScopeArithmetic":                   TestScopeArithmetic,
		"TokensAgainstAModel":               TestTokensAgainstAModel,
		"FirstKeysAreMadeOnce":              TestFirstKeysAreMadeOnce,
		"KeyRotationReachesOtherProcesses":  TestKeyRotationReachesOtherProcesses,
		"FirstKeysOfANodeWhoseClockIsAhead": TestFirstKeysOfANodeWhoseClockIsAhead,
		"RegisteredClients":                 TestRegisteredClients,
		"DPoPProofStaysUsedOnNodesBehind":   TestDPoPProofStaysUsedOnNodesBehind,
		"MasterKeyRotation":                 TestMasterKeyRotation,
		"RootOfAnOlderStore":                TestRootOfAnOlderStore,
		"EngineWithoutTheNewMasterKey":      TestEngineWithoutTheNewMasterKey,
		"ResealBesideChanges":               TestResealBesideChanges,
		"OneNodeLooksForNotices":            TestOneNodeLooksForNotices,
		"ClocksTokens":                      TestClocksTokens,
		"ClocksRefresh":                     TestClocksRefresh,
		"ClocksSessions":                    TestClocksSessions,
		"ClocksKeyRotation":                 TestClocksKeyRotation,
		"ClocksDPoP":                        TestClocksDPoP,
		"ClocksAssertions":                  TestClocksAssertions,
		"ClocksRegisteredClients":           TestClocksRegisteredClients,
		"ClocksNotices":                     TestClocksNotices,
	} {
		t.Run(name, test)
	}
}
