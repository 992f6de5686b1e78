namespace Shop.Tests;

/// <summary>As it runs where nothing is set.</summary>
public class SqliteTests : ShopTests
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"genfence-shop-{Guid.NewGuid():N}.db");

    protected override (string Setting, string Value) Database => ("ConnectionStrings:Sqlite", $"Data Source={_file}");
}
