using Genfence.Tests.Databases;

namespace Shop.Tests;

/// <summary>The source on PostgreSQL, where its server is installed.</summary>
public sealed class PostgresTests(PostgresServer server) : ShopTests, IClassFixture<PostgresServer>
{
    private readonly string _name = $"shop_{Guid.NewGuid():N}";

    protected override (string Setting, string Value) Database =>
        ("ConnectionStrings:Postgres", $"{server.ConnectionString};Database={_name}");

    public override ValueTask InitializeAsync()
    {
        if (server.Missing is { } why)
        {
            Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") == "true", why);
            Assert.Fail(why);
        }
        return base.InitializeAsync();
    }
}
