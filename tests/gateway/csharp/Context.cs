// What a policy expression sees of a call, as far as ours look. Names and types are those of the reference:
// https://learn.microsoft.com/azure/api-management/api-management-policy-expressions
using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

public interface IMessageBody
{
    T As<T>(bool preserveContent = false);
}

public interface IUrl
{
    string Path { get; }
}

public interface IOperation
{
    string Id { get; }
}

public interface IRequest
{
    IMessageBody Body { get; }
    string Method { get; }
    IReadOnlyDictionary<string, string[]> Headers { get; }
    IReadOnlyDictionary<string, string> MatchedParameters { get; }
    IUrl Url { get; }
}

public interface IResponse
{
    IMessageBody Body { get; }
    IReadOnlyDictionary<string, string[]> Headers { get; }
    int StatusCode { get; }
}

public interface ISubscription
{
    string Id { get; }
}

public interface ILastError
{
    string Message { get; }
    string Reason { get; }
}

public interface IContext
{
    ILastError LastError { get; }
    IOperation Operation { get; }
    IRequest Request { get; }
    IResponse Response { get; }
    ISubscription Subscription { get; }
    IReadOnlyDictionary<string, object> Variables { get; }
}

public static class Lookup
{
    public static string GetValueOrDefault(
        this IReadOnlyDictionary<string, string[]> headers, string name, string otherwise)
    {
        string[] values;
        return headers.TryGetValue(name, out values) ? string.Join(",", values) : otherwise;
    }

    public static string GetValueOrDefault(
        this IReadOnlyDictionary<string, string> parameters, string name, string otherwise)
    {
        string value;
        return parameters.TryGetValue(name, out value) ? value : otherwise;
    }

    public static T GetValueOrDefault<T>(
        this IReadOnlyDictionary<string, object> variables, string name, T otherwise)
    {
        object value;
        return variables.TryGetValue(name, out value) ? (T)value : otherwise;
    }
}

public class Body : IMessageBody
{
    private readonly byte[] bytes;

    public Body(byte[] bytes)
    {
        this.bytes = bytes;
    }

    public T As<T>(bool preserveContent = false)
    {
        if (typeof(T) == typeof(byte[])) return (T)(object)bytes.Clone();
        if (typeof(T) != typeof(string)) throw new NotSupportedException(typeof(T).Name);
        using (var reader = new StreamReader(new MemoryStream(bytes), Encoding.UTF8))
            return (T)(object)reader.ReadToEnd();
    }
}

public class Call : IContext, IRequest, IUrl, ISubscription
{
    public IMessageBody Body { get; set; }
    public IReadOnlyDictionary<string, string[]> Headers { get; set; }
    public IReadOnlyDictionary<string, string> MatchedParameters { get; set; }
    public string Path { get; set; }
    public string Id { get; set; }
    public IResponse Response { get; set; }
    public ILastError LastError { get; set; }
    public string Method { get; set; }
    public IOperation Operation { get; set; }
    public IReadOnlyDictionary<string, object> Variables { get; set; }

    public IRequest Request { get { return this; } }
    public IUrl Url { get { return this; } }
    public ISubscription Subscription { get { return this; } }
}

public class Answer : IResponse
{
    public IMessageBody Body { get; set; }
    public IReadOnlyDictionary<string, string[]> Headers { get; set; }
    public int StatusCode { get; set; }
}

public class Operation : IOperation
{
    public string Id { get; set; }
}

public class Error : ILastError
{
    public string Message { get; set; }
    public string Reason { get; set; }
}
